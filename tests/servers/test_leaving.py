"""Workers that leave where nothing calls the host's hooks: they drain all the same."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.support import other_servers
from tests.support.reading import ReadingClient
from tests.support.servers import Server, gunicorn, redis_server
from tests.support.waiting import wait_for

SLOW = pytest.mark.slow
PRELOADED = "tests.support.apps:scripted_app()"
Env = dict[str, str]

SERVERS: dict[str, Callable[[Env], AbstractContextManager[Server]]] = {
    # As Airflow starts it: sync with threads is gthread, preloaded, without a file of hooks.
    "gunicorn": lambda env: gunicorn(
        PRELOADED,
        env={**env, "GUNICORN_CMD_ARGS": "--threads 16 --graceful-timeout 20"},
        threads=None,
        args=["--preload", "--worker-class", "sync"],
        config="/dev/null",
    ),
    "granian": lambda env: other_servers.granian(env=env),
    "uvicorn": lambda env: other_servers.uvicorn("a2wsgi_app", env=env),
    "starlette": lambda env: other_servers.uvicorn("starlette_app", env=env),
    "gunicorn-asgi": lambda env: other_servers.gunicorn_class(
        "asgi",
        f"{other_servers.BRIDGES}:a2wsgi_app",
        env=env,
        args=["--graceful-timeout", "20"],
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        "gunicorn",
        *(
            pytest.param(name, marks=SLOW)
            for name in ("granian", "uvicorn", "starlette", "gunicorn-asgi")
        ),
    ],
)
def test_a_worker_that_leaves_ends_its_turns_in_words(name: str) -> None:
    """SIGTERM: a turn that ends in time is whole, one that does not gets `worker_shutdown`."""
    with redis_server() as redis:
        env = {"AGENT_REDIS_URL": redis.url, "AGENT_DRAIN_SECONDS": "2"}
        with SERVERS[name](env) as server:
            client = ReadingClient(server)
            with (
                client.chat("short", {"tokens": 10, "pause": 0.1}) as short,
                client.chat("held", {"text": "a"}, {"hold": True}) as held,
            ):
                short.until("token")
                held.until("token")
                server.signal(signal.SIGTERM)
                assert list(short)[-1].data["type"] == "done"
                (end,) = list(held)
                assert (end.data["type"], end.data["code"]) == ("error", "worker_shutdown")
                assert held.ended == "clean"
            wait_for(lambda: not server.running(), "the server has ended", 15)
        with SERVERS[name](env) as server:
            client = ReadingClient(server)
            assert client.session("held")["state"] == "idle", "no lease to wait for"
            assert client.replay("held", "1-0")[-1].data["code"] == "worker_shutdown"
            assert client.chat_json("held", {"text": "next"}).status == 200
