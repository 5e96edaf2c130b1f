"""Every route of a host, with its sample; what attacks it starts from these."""

from __future__ import annotations

import http.client
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple

from flask import Flask

from tests.security.samples import PREFIX, SAMPLES, UPGRADE, Target
from tests.support.client import new_session
from tests.support.each import each
from tests.support.servers import Server
from wsgi_app.web.blueprint import OWN
from wsgi_app.web.route import Route as Row
from wsgi_app.wires import find_wires


class Route(NamedTuple):
    """A route as its row says it: the scopes that it needs, None for an open one; and a sample."""

    scopes: tuple[str, ...] | None
    path: Callable[[Target], str]
    body: Callable[[Target], Any]
    ticket: bool


def _route(row: Row) -> Route:
    # `local` is for who asks from this machine, as these do; test_metrics asks from elsewhere.
    scopes = None if row.local else row.scopes
    return Route(scopes, *SAMPLES[f"{row.method} {row.path}"], row.ticket)


#: All of them but the operator's, by method (WS for a WebSocket) and rule below the prefix.
ROUTES: Final[dict[str, Route]] = {
    f"{row.method} {row.path}": _route(row) for wire in (OWN, *find_wires()) for row in wire.routes
}

# Fewer would mean that attacks start from nothing.
CLOSED: Final = each((name for name, route in ROUTES.items() if route.scopes is not None), 70)

WRITING: Final = each((name for name in CLOSED if not name.startswith(("GET", "WS"))), 40)


def routes_of(app: Flask) -> set[str]:
    """The routes that an app has below the prefix."""
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(PREFIX) and ".unknown" not in rule.endpoint:
            methods = {"WS"} if rule.websocket else (rule.methods or set()) - {"HEAD", "OPTIONS"}
            found |= {f"{method} {rule.rule.removeprefix(PREFIX)}" for method in methods}
    return found


class Head(NamedTuple):
    """The head of an answer, and its body if it was read."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes = b""

    @property
    def code(self) -> str:
        """The error's code in whatever wire it was told; empty where it is plain text."""
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            return ""
        told = json.loads(self.body)
        error = told["error"] if isinstance(told.get("error"), dict) else {}
        data = error.get("data", error.get("details"))  # of JSON-RPC, and of google.rpc
        if isinstance(data, list):
            return str(data[0]["reason"]).lower()
        if isinstance(data, dict):
            return str(data["code"])
        return str(told.get("code") or told["error"]["code"])


def send(  # noqa: PLR0913 - each is a part of the request, by keyword
    server: Server,
    name: str,
    target: Target | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes | None = None,
    query: str = "",
) -> Head:
    """Send a route's request; the body of a success is not read."""
    about = target or Target(new_session())
    with opened(server, name, about, headers, body=body, query=query) as answer:
        refused = answer.status >= http.client.BAD_REQUEST
        return Head(answer.status, answer.msg, answer.read() if refused else b"")


@contextmanager
def opened(  # noqa: PLR0913 - the same
    server: Server,
    name: str,
    target: Target,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes | None = None,
    query: str = "",
) -> Iterator[http.client.HTTPResponse]:
    """Send a route's request and give its answer, whose head is there.

    ``body`` is sent instead of the route's own, ``query`` before the one in its path.
    """
    method, route = name.split(maxsplit=1)[0], ROUTES[name]
    fields = dict(headers or {})
    if method == "WS":
        method, fields = "GET", {**UPGRADE, **fields}
    document = route.body(target)
    if body is None and document is not None:
        body = json.dumps(document).encode()
        fields = {"Content-Type": "application/json", **fields}
    path, _, own = (PREFIX + route.path(target)).partition("?")
    # The first of two values counts.
    path = "?".join(filter(None, (path, "&".join(filter(None, (query, own))))))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)
    with closing(connection):
        connection.request(method, path, body, fields)
        yield connection.getresponse()


def read_all(answer: http.client.HTTPResponse) -> bytes:
    """Read an answer to its end, or to the first silence of a stream that goes on."""
    if answer.status == http.client.SWITCHING_PROTOCOLS:
        return b""
    lines = []
    for line in answer:
        if line.startswith(b": keep-alive"):
            break
        lines.append(line)
    return b"".join(lines)


def bearer(token: str) -> dict[str, str]:
    """The header of who has a token."""
    return {"Authorization": f"Bearer {token}"}


#: What differs from answer to answer, whoever asks.
_VOLATILE: Final = [
    (rb"retry: \d+", b"retry"),
    (rb'"(ticket|call_id|id|fingerprint)":\s*"[^"]*"', rb'"\1":""'),
    (rb'"(\w+_at|created|timestamp)":\s*("[^"]*"|[\d.]+)', rb'"\1":0'),
    (rb"resp_[\w-]+", b"RESPONSE"),
    (rb'(at_seconds\\?":)[\d.]+', rb"\1"),
    (rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"RANDOM"),
    (rb"(?:rs-|cc-)?[0-9a-f]{12,}[\w-]*", b"RANDOM"),
]


def visible(head: Head, target: Target) -> tuple[int, list[tuple[str, bytes]], bytes]:
    """All that an answer tells about its target, but for names and what is made again each time."""
    named = [(name, value.encode("latin-1")) for name, value in head.headers.items()]
    made = head.headers.get("X-Session-Id", target.session).encode()
    # The limits that are left are the asker's own.
    ignored = ("date", "content-length", "x-request-id", "ratelimit-remaining", "ratelimit-reset")
    kept = [(n, scrub(value, target, made)) for n, value in named if n.lower() not in ignored]
    return head.status, sorted(kept), scrub(head.body, target, made)


def scrub(text: bytes, target: Target, made: bytes) -> bytes:
    """A text without the target's name, the one of a session that was made, and what is random."""
    text = text.replace(made, b"SESSION")
    text = text.replace(target.session.encode(), b"SESSION")
    text = text.replace(target.response.encode(), b"RESPONSE")
    for pattern, replacement in _VOLATILE:
        text = re.sub(pattern, replacement, text)
    return text


def unknown_target() -> Target:
    """What nobody has."""
    return Target(new_session(), secrets.token_hex(8))
