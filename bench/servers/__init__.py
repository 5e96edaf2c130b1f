"""The servers that are measured: one file each, and here how each is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.servers.ready import READY
from tests.support.processes import Process, free_port, started

EXPRESS: Final = Path(__file__).with_name("express")
START_SECONDS: Final = 60.0
UVICORN_READY: Final = "Application startup complete"
#: Threads of a worker whose streams need none.
FEW_THREADS: Final = 8

#: What answers: a model through the openai package, or a plain generator.
OPENAI: Final = "openai"
PACED: Final = "paced"


class Served(NamedTuple):
    """A server that runs, all its workers up."""

    process: Process
    port: int


class Peer(NamedTuple):
    """How to start one kind of server.

    ``command`` is called with the port, the workers and the most streams that one of them may get;
    ``ready`` is what each worker writes when it is up.
    """

    label: str
    ready: str
    command: Callable[[int, int, int], list[str]]
    env: Mapping[str, str] = {}
    with_redis: bool = False
    agents: tuple[str, ...] = (OPENAI, PACED)
    prepare: Callable[[], None] = lambda: None

    @contextmanager
    def run(
        self, workers: int, streams: int, env: Mapping[str, str], tree: Path | None = None
    ) -> Iterator[Served]:
        """Run it for the length of the block; it is killed then, whatever it still does.

        ``tree`` is a copy of the project to run it from, instead of this one.
        """
        port = free_port()
        env = {**self.env, **env, "PORT": str(port), "WORKERS": str(workers)}
        with started(self.command(port, workers, streams), env=env, cwd=tree) as process:
            process.wait_until(lambda: process.log().count(self.ready) >= workers, START_SECONDS)
            yield Served(process, port)
            process.kill()


def _gunicorn(
    app: str, threads: int | None = None, worker_class: str = "gthread"
) -> Callable[[int, int, int], list[str]]:
    def command(port: int, workers: int, streams: int) -> list[str]:
        # Workers share out the connections as it comes: each has threads for all of them, and the
        # eighth that the host keeps free.
        count = threads or streams + streams // 7 + 8
        return [
            *(sys.executable, "-m", "gunicorn", "--config", "python:bench.servers.gunicorn_conf"),
            *("--worker-class", worker_class, "--workers", str(workers), "--threads", str(count)),
            *("--worker-connections", str(2 * streams + 100), "--bind", f"127.0.0.1:{port}", app),
        ]

    return command


def _uvicorn(app: str) -> Callable[[int, int, int], list[str]]:
    def command(port: int, workers: int, _streams: int) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "--workers", str(workers)),
            *("--port", str(port), app),
        ]

    return command


def _host(label: str, delivery: str, threads: int | None = None, *, with_redis: bool) -> Peer:
    env = {"AGENT_DELIVERY": delivery}
    return Peer(label, READY, _gunicorn("bench.servers.host:app", threads), env, with_redis)


def _gevent(label: str, *, with_redis: bool) -> Peer:
    """Its ``--threads`` do nothing: each stream is a greenlet."""
    command = _gunicorn("bench.servers.host:app", worker_class="gevent")
    return Peer(label, READY, command, {"AGENT_DELIVERY": "thread"}, with_redis)


def _install_express() -> None:
    if not (EXPRESS / "node_modules").is_dir():
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--silent"],
            cwd=EXPRESS,
            env={**os.environ, "npm_config_update_notifier": "false"},
            check=True,
        )


HOST: Final = "host"
PARKED: Final = "host-parked"
GEVENT: Final = "host-gevent"
PEERS: Final[Mapping[str, Peer]] = {
    HOST: _host("this host, a thread per stream", "thread", with_redis=True),
    PARKED: _host("this host, parked streams", "parked", FEW_THREADS, with_redis=True),
    "host-memory": _host("this host, a thread per stream, no Redis", "thread", with_redis=False),
    "host-parked-memory": _host(
        "this host, parked streams, no Redis", "parked", FEW_THREADS, with_redis=False
    ),
    GEVENT: _gevent("this host, gevent", with_redis=True),
    "wsgi": Peer(
        "bare WSGI generator", READY, _gunicorn("bench.servers.wsgi:app"), agents=(PACED,)
    ),
    "flask": Peer("Flask thread and queue", READY, _gunicorn("bench.servers.flask_queue:app")),
    "fastapi": Peer(
        "FastAPI StreamingResponse", UVICORN_READY, _uvicorn("bench.servers.fastapi_async:app")
    ),
    "fastapi-sse": Peer(
        "FastAPI EventSourceResponse", UVICORN_READY, _uvicorn("bench.servers.fastapi_sse:app")
    ),
    "fastapi-aiohttp": Peer(
        "FastAPI StreamingResponse, openai on aiohttp",
        UVICORN_READY,
        _uvicorn("bench.servers.fastapi_aiohttp:app"),
        agents=(OPENAI,),
    ),
    "express": Peer(
        "Express",
        READY,
        lambda *_: ["node", str(EXPRESS / "server.mjs")],
        prepare=_install_express,
    ),
}


def available(agent: str, *without: str) -> list[str]:
    """The servers that answer so and that this machine can run: Express needs node and npm."""
    has_node = bool(shutil.which("node") and shutil.which("npm"))
    names = [name for name, peer in PEERS.items() if agent in peer.agents and name not in without]
    return [name for name in names if name != "express" or has_node]
