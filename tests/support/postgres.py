"""A server of PostgreSQL for the length of a ``with`` block."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from tests.support.processes import (
    Process,
    find_program,
    free_port,
    install_program,
    started,
    temporary_folder,
)

MAKE_SECONDS = 120
ASK_SECONDS = 30
READY = "ready to accept connections"


class Postgres:
    """A server; its one user ``site`` needs no password. Used by one thread."""

    def __init__(self, port: int, command: list[str]) -> None:
        self.port = port
        self._command = command
        self._running = ExitStack()
        self._process: Process | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        process = self._running.enter_context(started(self._command))
        process.wait_until(lambda: READY in process.log())
        self._process = process

    def stop(self) -> None:
        """End it, and its clients' connections."""
        if self._process is not None:
            self._process.signal(signal.SIGINT)  # SIGTERM would wait for the clients
        self._running.close()

    def crash(self) -> None:
        """Kill a process: it ends the others, with every connection, and begins again."""
        process = self._process
        assert process is not None
        starts = process.log().count(READY)
        os.kill(process.children()[0], signal.SIGKILL)
        process.wait_until(lambda: process.log().count(READY) > starts)

    @property
    def address(self) -> str:
        """What follows the scheme in a URL of its database."""
        return f"site@127.0.0.1:{self.port}/postgres"

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"made_{uuid4().hex}"
        self.ask(f"create database {name}")
        return f"site@127.0.0.1:{self.port}/{name}"

    def ask(self, query: str) -> str:
        """Run a statement and return its rows as text."""
        ask = [program("psql"), "--no-psqlrc", "-At", "-c", query]
        done = subprocess.run(
            [*ask, f"postgresql://{self.address}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
        )
        return done.stdout.strip()

    def connections(self) -> int:
        """How many connections its clients hold, this question's own apart."""
        counting = "select count(*) - 1 from pg_stat_activity where backend_type = 'client backend'"
        return int(self.ask(counting))


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server with an empty database."""
    port = free_port()
    with temporary_folder() as folder:
        as_nobody: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            folder.chmod(0o777)
            as_nobody = [find_program("setpriv", "util-linux"), "--reuid=65534", "--clear-groups"]
        data = str(folder / "data")
        make = [program("initdb"), "-D", data, "-U", "site", "-A", "trust", "-N"]
        subprocess.run([*as_nobody, *make], check=True, capture_output=True, timeout=MAKE_SECONDS)
        serve = [program("postgres"), "-D", data, "-p", str(port)]
        options = ["-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        server = Postgres(port, [*as_nobody, *serve, *options])
        try:
            server.start()
            yield server
        finally:
            server.stop()


def program(name: str) -> str:
    """Where a program of PostgreSQL's is: Debian keeps the server's outside of everybody's PATH."""
    install_program("psql", "postgresql")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    path = ":".join([os.environ.get("PATH", os.defpath), *map(str, folders)])
    found = shutil.which(name, path=path)
    assert found is not None, f"{name} is in none of {path}"
    return found
