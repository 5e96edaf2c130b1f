"""The first token of a real model server: asked directly, and through the host."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from bench.first_line import Asked, first_line_seconds
from bench.programs import Programs, wait_quiet
from bench.report import markdown, median
from bench.works import Row, Tell, Work
from tests.models.llama_cpp import llama_cpp
from tests.models.server import ModelServer
from tests.support.servers import gunicorn, redis_server

APP: Final = "bench.servers.host:app"


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
                direct.append(first_line_seconds(_directly(model)))
                through.append(first_line_seconds(_through(port, f"first-{round_}-{number}")))
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


def _directly(model: ModelServer) -> Asked:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": model.model, "messages": messages, "stream": True}
    where = urlsplit(model.base_url)
    return Asked(where.port or 80, f"{where.path}/chat/completions", body, b'"content":"')


def _through(port: int, session: str) -> Asked:
    return Asked(port, f"/chat/{session}", {"message": "hi"}, b'"type":"token"', "bench")


MODEL: Final = Work(add_arguments, measure, table, "a real model server's first token")
