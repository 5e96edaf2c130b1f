"""A server that fetches the chunks of each stream in two threads in turn, and what it sees there.

Run as a program it prints, as JSON, one row for each kind of stream; it needs Flask, Flask-Login
and the host alone, so that it runs in environments of any version.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask, Request, Response, g, has_app_context, has_request_context, request
from flask_login import LoginManager, UserMixin, current_user
from werkzeug.test import EnvironBuilder

from tests.support.agents import observe
from wsgi_app import AgentHost, Principal, Turn
from wsgi_app.tokens import SCOPES

WORDS = 6
CHUNKS = 4
ANNA = "anna"
#: Let the agent say a word more.
WORD = threading.Semaphore(0)
SEEN_BY_AGENTS: list[dict[str, Any]] = []
COUNTS: dict[str, int] = {}
_LOCK = threading.Lock()  # guards the next
_BARRIERS: dict[int, threading.Barrier] = {}

_IDS = {"threadId": "ag", "runId": "r", "state": {}, "tools": [], "context": []}
_SAID = {"id": "m", "role": "user", "content": "hi"}
STREAMS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "chat": ("POST", "/agents/chat/one", {"message": "hi"}),
    "async": ("POST", "/async/chat/one", {"message": "hi"}),
    "replay": ("GET", "/agents/chat/one/events?last_event_id=0-0", None),
    "many": ("GET", "/agents/events?session=one&session=two", None),
    "completions": (
        "POST",
        "/agents/v1/chat/completions",
        {"model": "agent", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
    ),
    "responses": ("POST", "/agents/v1/responses", {"model": "a", "stream": True, "input": "hi"}),
    "ag_ui": ("POST", "/agents/ag-ui", {**_IDS, "messages": [_SAID], "forwardedProps": {}}),
    "ai_sdk": (
        "POST",
        "/agents/ai-sdk/chat",
        {
            "id": "ai",
            "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "hi"}]}],
        },
    ),
    "probe": ("POST", "/agents/probe", {"frames": 6, "interval_ms": 10}),
    "admin": ("GET", "/agents/admin/events", None),
}


class User(UserMixin):  # type: ignore[misc] # Flask-Login has no types
    """The user whom the header names."""

    def __init__(self, name: str) -> None:
        self.id = name


def look() -> dict[str, Any]:
    """What code that runs here sees of Flask."""
    return {
        "request": has_request_context(),
        "app": has_app_context(),
        "mark": g.get("mark") if has_app_context() else None,
        "user": getattr(current_user, "id", None) if current_user else None,
    }


def agent(turn: Turn) -> Iterator[str]:
    """Say a word for each that is wanted, after a look by itself and by a tool."""
    SEEN_BY_AGENTS.append(look())
    SEEN_BY_AGENTS.append(turn.run_in_thread(look, 5))
    for number in range(WORDS):
        WORD.acquire(timeout=0.2)
        yield f"w{number} "


async def async_agent(turn: Turn) -> Any:
    """Say words after a look."""
    SEEN_BY_AGENTS.append(look())
    for word in turn.message.split():
        yield word


def count(name: str) -> None:
    """Count what the site was told."""
    COUNTS[name] = COUNTS.get(name, 0) + 1


def site(keepalive_seconds: float = 0.5) -> Flask:
    """Mount hosts in a site with Flask-Login that counts the ends of its requests."""
    app = Flask("site")
    app.secret_key = "the site's own"
    login = LoginManager(app)
    login.request_loader(_load_user)
    hosts = {"/agents": agent, "/async": async_agent}
    for prefix, one in hosts.items():
        host = AgentHost(
            one,
            authenticate=_authenticate,
            before_stream=_before_stream,
            admin=True,
            keepalive_seconds=keepalive_seconds,
        )
        host.init_app(app, url_prefix=prefix)
    app.add_url_rule("/me", "me", _me)
    app.add_url_rule("/everywhere/<int:threads>", "everywhere", _everywhere)
    app.before_request(_mark)
    app.after_request(_after)
    app.teardown_request(lambda _: count("teardown_request"))
    app.teardown_appcontext(lambda _: count("teardown_appcontext") if "counted" in g else None)
    return app


def _me() -> dict[str, Any]:
    return {"user": _name(), "mark": g.get("mark"), "thread": threading.get_ident()}


def _everywhere(threads: int) -> dict[str, Any]:
    """Answer once so many threads are here."""
    with _LOCK:
        barrier = _BARRIERS.setdefault(threads, threading.Barrier(threads))
    barrier.wait(10)
    return _me()


def _load_user(sent: Request) -> User | None:
    name = sent.headers.get("X-User")
    return User(name) if name else None


def _authenticate(_: Request) -> Principal | None:
    name = _name()
    return Principal(name, SCOPES) if name else None


def _name() -> str | None:
    return current_user.id if current_user.is_authenticated else None


def _before_stream() -> None:
    count(f"before_stream {_name()}")


def _mark() -> None:
    if _name():
        g.mark = _name()
    if "X-Count" in request.headers:
        g.counted = True


def _after(response: Response) -> Response:
    response.headers["X-Mark"] = str(g.get("mark"))
    if "counted" in g:
        response.call_on_close(lambda: count("closed"))
    return response


class Server:
    """Calls an application in one of two threads, and looks around in both after each step."""

    def __init__(self, app: Flask) -> None:
        self.seen: list[dict[str, Any]] = []
        self._app = app
        self._threads = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]

    def stream(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Fetch some chunks in both threads in turn, and close the body in the second."""
        headers = [("X-User", ANNA), ("X-Count", "1"), ("Accept", "text/event-stream")]
        environ = EnvironBuilder(path, method=method, headers=headers, json=body).get_environ()
        told: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            told.update(status=status, mark=dict(headers).get("X-Mark"))

        COUNTS.clear()
        SEEN_BY_AGENTS.clear()
        chunks = self._step(0, lambda: self._app.wsgi_app(environ, start_response))
        ended = dict(COUNTS)
        iterator = iter(chunks)
        got = []
        for number in range(CHUNKS):
            WORD.release()
            chunk = self._step(number % 2, lambda: next(iterator, b""))
            got.append(chunk.decode())
        self._step(1, lambda: _close(chunks))
        while WORD.acquire(blocking=False):
            pass
        return {
            **told,
            "chunks": len([chunk for chunk in got if chunk]),
            "seen": [row for row in self.seen if any(row.values())],
            "agents": list(SEEN_BY_AGENTS),
            "before_first_chunk": ended,
            "counts": dict(COUNTS),
        }

    def _step(self, number: int, act: Callable[[], Any]) -> Any:
        made = self._threads[number].submit(act).result(20)
        for thread in self._threads:
            self.seen.append(thread.submit(self._look).result(20))
        return made

    def _look(self) -> dict[str, Any]:
        """What a thread holds, and what it answers a stranger."""
        counted = dict(COUNTS)
        stranger = self._app.test_client().get("/me").get_json()
        COUNTS.clear()
        COUNTS.update(counted)
        return {**look(), "stranger": stranger["user"], "stranger_mark": stranger["mark"]}


def _close(chunks: Iterable[bytes]) -> None:
    chunks.close()  # type: ignore[attr-defined] # werkzeug's has it


def main() -> None:
    """Print what was seen for each kind of stream."""
    app = site(keepalive_seconds=0.02)  # within what a pool of one thread may wait
    rows = {}
    for name, (method, path, body) in STREAMS.items():
        rows[name] = Server(app).stream(method, path, body)
    observe("done")
    sys.stdout.write(json.dumps(rows))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
