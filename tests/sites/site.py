"""A running application with the host mounted in it, and its users' browsers."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.support.postgres import Postgres
from tests.support.processes import (
    ROOT,
    child_pids,
    clean_environment,
    free_port,
    started,
    temporary_folder,
)
from tests.support.servers import Server, answers_http, redis_server
from tests.support.sse import Stream, open_stream

RECIPES = ROOT / "docs" / "sites"
START_SECONDS = 180.0


def recipe(name: str) -> str:
    """The Python of an application's recipe: what its users would copy."""
    text = (RECIPES / f"{name}.md").read_text()
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


class Browser:
    """One user of the application: a session with its cookies. Used by one thread at a time."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.agents = url + prefix
        self.session = requests.Session()
        self.session.headers["User-Agent"] = "Mozilla/5.0"  # some applications refuse others

    def get(self, path: str, **more: Any) -> requests.Response:
        """Open a page of the application."""
        return self.session.get(self.url + path, timeout=30, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        """Send something to the application."""
        return self.session.post(self.url + path, timeout=30, **more)

    def call(self, method: str, path: str, json: object = None) -> requests.Response:
        """Ask the host, as the page's own script does."""
        url = self.agents + path
        return self.session.request(method, url, json=json, timeout=30, allow_redirects=False)

    def stream(self, method: str, path: str, json: object = None, **headers: str) -> Stream:
        """Ask the host for a stream."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return open_stream(
            method, self.agents + path, json=json, headers={**self.headers(), **named}, seconds=30
        )

    def chat(self, session_id: str, message: str) -> Stream:
        """Start a turn."""
        return self.stream("POST", f"/chat/{session_id}", {"message": message})

    def headers(self) -> dict[str, str]:
        """What the browser sends with each request, its login above all."""
        request = self.session.prepare_request(requests.Request("GET", self.url))
        cookies = request.headers.get("Cookie")
        found = {name: str(request.headers[name]) for name in ("User-Agent",)}
        for name in ("Authorization", "Authorization-Token"):
            if name in request.headers:
                found[name] = str(request.headers[name])
        return {**found, "Cookie": cookies} if cookies else found


@dataclass
class Site:
    """The application's server, and where the host is mounted in it. Used by one thread."""

    server: Server
    prefix: str
    folder: Path
    #: Who has logged in: sites limit how often that may be tried.
    users: dict[str, Browser] = field(default_factory=dict)
    #: The server of its database, where that is no file.
    postgres: Postgres | None = None

    def browser(self) -> Browser:
        """A user who has not logged in."""
        return Browser(self.server.url, self.prefix)

    def open_files(self, name: str) -> int:
        """How many descriptors of the application's processes lead to files of this name."""
        pids = descendants(self.server.pid)
        return sum(_count_open(pid, name) for pid in [self.server.pid, *pids])


def descendants(pid: int) -> list[int]:
    """The ids of all processes below this one."""
    children = child_pids(pid)
    return children + [below for child in children for below in descendants(child)]


def _count_open(pid: int, name: str) -> int:
    count = 0
    with suppress(FileNotFoundError, ProcessLookupError):  # it ends while it is looked at
        for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - as many as there are, as names
            with suppress(FileNotFoundError):
                count += Path(os.readlink(f"/proc/{pid}/fd/{descriptor}")).name == name  # noqa: PTH115 - what a descriptor leads to need not exist
    return count


@contextmanager
def application(  # noqa: PLR0913 - what distinguishes one application from another, by keyword
    environment: Path,
    files: Mapping[str, str],
    command: Sequence[str],
    *,
    prefix: str = "/agents",
    env: Mapping[str, str] | None = None,
    prepare: Sequence[Sequence[str]] = (),
) -> Iterator[Site]:
    """Run an application's own server command in a folder that holds ``files``.

    ``{port}``, ``{folder}`` and ``{redis_port}`` stand for theirs in the command, its environment
    and the files. ``prepare`` are commands run before it to their end: its database, its users.
    The Redis runs beside it, for the host and for an application that wants one.
    """
    port = free_port()
    with temporary_folder() as folder, redis_server() as redis:
        redis_port = str(urlsplit(redis.url).port)
        words = {"{port}": str(port), "{folder}": str(folder), "{redis_port}": redis_port}
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(text, words))
        (folder / "assistant.py").write_text((Path(__file__).parent / "assistant.py").read_text())
        settings = {
            "PYTHONPATH": str(folder),
            "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            "AGENT_REDIS_URL": redis.url,
            "HOME": str(folder),
            **{name: _filled(value, words) for name, value in (env or {}).items()},
        }
        for step in prepare:
            _run([_filled(part, words) for part in step], settings, folder)
        filled = [_filled(part, words) for part in command]
        with started(filled, env=settings, cwd=folder) as process:
            process.wait_until(lambda: answers_http(port), START_SECONDS)
            yield Site(Server(process, port), prefix, folder)
            process.kill()  # how long an application takes to leave is its own affair


def _run(step: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
    done = subprocess.run(
        step,
        env=clean_environment(env),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{step} ended with {done.returncode}:\n{done.stdout}"


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def new_session() -> str:
    """An id that no other test uses."""
    return f"s-{secrets.token_hex(6)}"
