"""The first token of a real model server: asked directly, and through the host."""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bench.programs import Programs, wait_quiet
from bench.report import markdown, median
from bench.works import Row, Tell, Work
from tests.models.llama_cpp import llama_cpp
from tests.models.server import ModelServer
from tests.support.servers import gunicorn, redis_server

APP: Final = "bench.servers.host:app"


class _Way(NamedTuple):
    """Where a message goes, and what its first token's line begins with."""

    port: int
    path: str
    body: str
    headers: Mapping[str, str]
    mark: bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--messages", type=int, default=20, help="each way, in turn")
    add("--rounds", type=int, default=3, help="how often")
    add("--patience-seconds", type=float, default=30.0, help="for others on this machine to rest")


def measure(options: argparse.Namespace, _programs: Programs, tell: Tell) -> list[Row]:
    """Ask llama.cpp's server directly and through the host, in turn."""
    rows = []
    with llama_cpp() as model, _host(model) as port:
        for round_ in range(options.rounds):
            wait_quiet(options.patience_seconds)
            direct, through = [], []
            for number in range(options.messages + 1):
                direct.append(_first_token_seconds(_directly(model)))
                through.append(_first_token_seconds(_through(port, f"first-{round_}-{number}")))
            row = {  # the first of each warms up
                "direct_ms": statistics.median(direct[1:]) * 1000,
                "through_ms": statistics.median(through[1:]) * 1000,
            }
            rows.append({"server": "host", "round": round_, **row})
            tell(f"direct {row['direct_ms']:.1f} ms, through the host {row['through_ms']:.1f} ms")
    return rows


def table(rows: list[Row]) -> str:
    """The medians over the rounds, in Markdown."""
    direct, through = median(rows, "direct_ms"), median(rows, "through_ms")
    line = (f"{direct:.1f}", f"{through:.1f}", f"{through - direct:.1f}")
    return markdown(("first token directly, ms", "through the host", "more"), [line])


@contextmanager
def _host(model: ModelServer) -> Iterator[int]:
    with redis_server() as redis:
        env = {
            "AGENT_REDIS_URL": redis.url,
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "bench",
            "BENCH_MODEL": model.model,
        }
        with gunicorn(APP, env=env) as server:
            yield server.port


def _directly(model: ModelServer) -> _Way:
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": model.model, "messages": messages, "stream": True})
    where = urlsplit(model.base_url)
    path = f"{where.path}/chat/completions"
    return _Way(where.port or 80, path, body, {}, b'"content":"')


def _through(port: int, session: str) -> _Way:
    headers = {"Authorization": "Bearer bench"}
    body = json.dumps({"message": "hi"})
    return _Way(port, f"/chat/{session}", body, headers, b'"type":"token"')


def _first_token_seconds(way: _Way) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", way.port, timeout=30)
    began_at = time.monotonic()
    headers = {"Content-Type": "application/json", **way.headers}
    connection.request("POST", way.path, way.body, headers)
    answer = connection.getresponse()
    line = answer.readline()
    while line and way.mark not in line:
        line = answer.readline()
    if not line:
        raise RuntimeError(f"no token came: {answer.status}")
    seconds = time.monotonic() - began_at
    answer.read()
    connection.close()
    return seconds


MODEL: Final = Work(add_arguments, measure, table, "a real model server's first token")
