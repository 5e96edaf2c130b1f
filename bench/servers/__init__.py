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
    journals: bool = False
    prepare: Callable[[], None] = lambda: None

    @contextmanager
    def run(self, workers: int, streams: int, env: Mapping[str, str]) -> Iterator[Served]:
        """Run it for the length of the block; it is killed then, whatever it still does."""
        port = free_port()
        env = {**env, "PORT": str(port), "WORKERS": str(workers)}
        with started(self.command(port, workers, streams), env=env) as process:
            process.wait_until(lambda: process.log().count(self.ready) >= workers, START_SECONDS)
            yield Served(process, port)
            process.kill()


def _gunicorn(app: str) -> Callable[[int, int, int], list[str]]:
    def command(port: int, workers: int, streams: int) -> list[str]:
        # Workers share out the connections as it comes: each has threads for all of them, and the
        # eighth that the host keeps free.
        threads = streams + streams // 7 + 8
        return [
            *(sys.executable, "-m", "gunicorn", "--config", "python:bench.servers.gunicorn_conf"),
            *("--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)),
            *("--worker-connections", str(2 * threads), "--bind", f"127.0.0.1:{port}", app),
        ]

    return command


def _uvicorn(app: str) -> Callable[[int, int, int], list[str]]:
    def command(port: int, workers: int, _streams: int) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "--workers", str(workers)),
            *("--port", str(port), app),
        ]

    return command


def _install_express() -> None:
    if not (EXPRESS / "node_modules").is_dir():
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--silent"],
            cwd=EXPRESS,
            env={**os.environ, "npm_config_update_notifier": "false"},
            check=True,
        )


HOST: Final = "host"
PEERS: Final[Mapping[str, Peer]] = {
    HOST: Peer("this host, OpenAIAgent", READY, _gunicorn("bench.servers.host:app"), journals=True),
    "fastapi": Peer(
        "FastAPI, AsyncOpenAI", UVICORN_READY, _uvicorn("bench.servers.fastapi_async:app")
    ),
    "fastapi-aiohttp": Peer(
        "FastAPI, AsyncOpenAI on aiohttp",
        UVICORN_READY,
        _uvicorn("bench.servers.fastapi_aiohttp:app"),
    ),
    "flask": Peer(
        "Flask thread and queue, OpenAI", READY, _gunicorn("bench.servers.flask_queue:app")
    ),
    "express": Peer(
        "Express, openai",
        READY,
        lambda *_: ["node", str(EXPRESS / "server.mjs")],
        prepare=_install_express,
    ),
}


def available() -> list[str]:
    """The servers that this machine can run: Express needs node and npm."""
    has_node = bool(shutil.which("node") and shutil.which("npm"))
    return [name for name in PEERS if name != "express" or has_node]
