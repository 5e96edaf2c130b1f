"""What deploy/README.md tells people to run, run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from signal import Signals

import pytest
import requests

from tests.support.deployed import uwsgi
from tests.support.each import each
from tests.support.processes import ROOT
from tests.support.proxies import read_block
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Redis, Server, gunicorn
from tests.support.service import project_nginx
from tests.support.sse import open_stream, text_of
from tests.support.waiting import wait_for
from wsgi_app.delivery.slots import default_slots

CONFIG = ROOT / "gunicorn.conf.py"
AUTHORIZED = {"Authorization": "Bearer change-me"}
QUESTION = {"message": "what is 12*34?"}


@pytest.fixture(scope="module")
def served() -> Iterator[Gunicorn]:
    """The project's own gunicorn configuration with the token of deploy/README.md."""
    [tokens] = re.findall(r"AGENT_TOKENS=(\S+)", read_block("sh"))
    env = {"AGENT_TOKENS": tokens}
    with gunicorn(config=CONFIG, workers=None, threads=None, env=env) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(served: Gunicorn) -> Iterator[Server]:
    """Put nginx with deploy/nginx.conf in front of it."""
    with project_nginx([served], balance="ip_hash;") as server:
        yield server


def test_documented_proxy_streams(proxy: Server) -> None:
    """Through the documented nginx, events come one by one and the stream ends cleanly."""
    with open_stream("POST", f"{proxy.url}/chat/s-1", json=QUESTION, headers=AUTHORIZED) as stream:
        frames = list(stream)
    assert frames[-1].data["type"] == "done"
    assert text_of(frames) == frames[-1].data["reply"]
    # The demo agent pauses between words: what is buffered would come in one piece.
    assert frames[-1].at - frames[0].at > 0.1


def test_documented_proxy_leaves_refusals_to_the_host(proxy: Server) -> None:
    """A body beyond the host's bound is refused by the host, in JSON, and not by nginx."""
    body = {"message": "x" * 1_100_000}
    answer = requests.post(f"{proxy.url}/chat/s-1", json=body, headers=AUTHORIZED, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_development_mode_is_not_for_proxies() -> None:
    """Without tokens, what comes through a proxy is told what to configure."""
    with (
        gunicorn(config=CONFIG, workers=None, threads=None) as server,
        project_nginx([server]) as proxy,
    ):
        headers = {"Authorization": "Bearer dev"}
        answer = requests.post(f"{proxy.url}/chat/s-1", json=QUESTION, headers=headers, timeout=30)
        assert answer.status_code == 401
        assert "AGENT_TOKENS" in answer.json()["message"]


def test_table_of_slots_is_true() -> None:
    """The table of threads and streams says what the host computes."""
    text = (ROOT / "deploy/README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 3
    for threads, free, streams in (map(int, row) for row in rows):
        assert (threads - free, streams) == (default_slots(threads),) * 2


def test_documented_hooks_are_all_there_are() -> None:
    """The import in deploy/README.md names every hook, as gunicorn.conf.py does."""
    hooks = re.findall(
        r"^def ([a-z]\w+)\(", (ROOT / "wsgi_app/gunicorn_hooks.py").read_text(), re.MULTILINE
    )
    names: dict[str, object] = {}
    exec(read_block("python"), names)  # noqa: S102 - the README's own code
    config = CONFIG.read_text()
    for hook in each(hooks, 5):
        assert callable(names[hook])
        assert re.search(rf"^    {hook},$", config, re.MULTILINE)


@pytest.mark.slow
def test_uwsgi_drains_and_uses_all_cores(redis: Redis) -> None:
    """With Redis uWSGI runs a worker per core, and SIGTERM lets a running stream end."""
    with uwsgi(env={"AGENT_REDIS_URL": redis.url}) as server:
        client = ReadingClient(server, prefix="")
        assert server.log().count("spawned uWSGI worker") == os.cpu_count()
        wait_for(lambda: server.log().count("WSGI app 0") == os.cpu_count(), "all are up", 30)
        with client.chat("drained", {"tokens": 20, "pause": 0.1}) as stream:
            stream.until("token")
            server.signal(Signals.SIGTERM)
            rest = list(stream)
        assert rest[-1].data["type"] == "done"
        wait_for(lambda: not server.running(), "uWSGI has left")
