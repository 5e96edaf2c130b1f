"""Every route of a host, with a request that means it well; what attacks it starts from these."""

from __future__ import annotations

import http.client
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple

from flask import Flask

from tests.support.client import new_session
from tests.support.each import each
from tests.support.servers import Server
from wsgi_app.web.blueprint import OWN
from wsgi_app.web.route import Route as Row
from wsgi_app.wires import find_wires
from wsgi_app.wires.langgraph.ids import RunRef
from wsgi_app.wires.mcp.request import StreamPosition
from wsgi_app.wires.openai.ids import ResponseRef

PREFIX: Final = "/agents"
UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


class Target(NamedTuple):
    """What a request is about."""

    session: str
    request_id: str = "none"

    @property
    def run(self) -> str:
        """The id of a run that the session has not."""
        return RunRef(1, 0, "0" * 12).id

    @property
    def response(self) -> str:
        """The id of the session's first response."""
        return ResponseRef(self.session, 1, 0, 1_700_000_000, background=False).id


class Sample(NamedTuple):
    """A path and a body for a target."""

    path: Callable[[Target], str]
    body: Callable[[Target], Any] = lambda _: None


def _of(path: str) -> Callable[[Target], str]:
    return lambda target: path.format(
        session=target.session, response=target.response, run=target.run
    )


def _chat(_: Target) -> Any:
    return {"message": "hi"}


def _new_chat(target: Target) -> Any:
    return {"message": "hi", "session_id": target.session}


def _input(target: Target) -> Any:
    return {"request_id": target.request_id, "value": "forged"}


def _results(target: Target) -> Any:
    return {"request_id": target.request_id, "results": [{"call_id": "c", "output": "forged"}]}


def _ag_ui(target: Target) -> Any:
    messages = [{"role": "user", "content": "hi"}]
    return {"threadId": target.session, "runId": "run-1", "messages": messages}


def _ai_sdk(target: Target) -> Any:
    parts = [{"type": "text", "text": "hi"}]
    return {"id": target.session, "messages": [{"id": "m-1", "role": "user", "parts": parts}]}


def _command(_: Target) -> Any:
    messages = [{"type": "human", "content": "hi"}]
    params = {"assistant_id": "agent", "input": {"messages": messages}}
    return {"id": 1, "method": "run.start", "params": params}


def _run(_: Target) -> Any:
    messages = [{"type": "human", "content": "hi"}]
    return {"assistant_id": "agent", "input": {"messages": messages}}


def _events(_: Target) -> Any:
    return {"channels": ["values", "messages", "lifecycle"]}


def _completion(target: Target) -> Any:
    # Each has a session of its own, named by the host.
    return {"model": "agent", "messages": [{"role": "user", "content": f"hi {target.session}"}]}


def _response(target: Target) -> Any:
    return {"model": "agent", "input": "hi", "previous_response_id": target.response}


def _mcp(target: Target) -> Any:
    arguments = {"message": "hi", "session": target.session}
    params = {"name": "ask", "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def _a2a(target: Target) -> Any:
    parts = [{"text": "hi"}]
    named = {"messageId": "m-1", "contextId": target.session}
    return {"message": {**named, "role": "ROLE_USER", "parts": parts}}


def _a2a_rpc(target: Target) -> Any:
    return {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": _a2a(target)}


def _a2a_task(rest: str) -> Callable[[Target], str]:
    return lambda target: f"/a2a/tasks/{target.session}.1{rest}?A2A-Version=1.0"


def _mcp_place(target: Target) -> str:
    position = StreamPosition(target.session, 1, 0, "", 1, None, "text", stateless=False)
    return f"/mcp?last_event_id={position}"


#: By method (WS for a WebSocket) and rule below the prefix.
SAMPLES: Final[dict[str, Sample]] = {
    "POST /chat": Sample(_of("/chat"), _new_chat),
    "POST /chat/<session_id>": Sample(_of("/chat/{session}"), _chat),
    "POST /chat/<session_id>/cancel": Sample(_of("/chat/{session}/cancel")),
    "POST /chat/<session_id>/input": Sample(_of("/chat/{session}/input"), _input),
    "POST /chat/<session_id>/steer": Sample(_of("/chat/{session}/steer"), _chat),
    "POST /chat/<session_id>/tool_result": Sample(_of("/chat/{session}/tool_result"), _results),
    "GET /chat/<session_id>/events": Sample(_of("/chat/{session}/events?last_event_id=0-0")),
    "GET /chat/<session_id>/poll": Sample(_of("/chat/{session}/poll?after=0-0")),
    "POST /chat/<session_id>/ticket": Sample(_of("/chat/{session}/ticket")),
    "GET /events": Sample(_of("/events?session={session}&last_event_id=0-0")),
    "GET /session/<session_id>": Sample(_of("/session/{session}")),
    "DELETE /session/<session_id>": Sample(_of("/session/{session}")),
    "GET /sessions": Sample(_of("/sessions")),
    "WS /ai-sdk/chat/<session_id>/socket": Sample(_of("/ai-sdk/chat/{session}/socket")),
    "WS /ws/chat/<session_id>": Sample(_of("/ws/chat/{session}")),
    "POST /files": Sample(_of("/files?session_id={session}"), lambda _: "a text"),
    "GET /files/<file_id>": Sample(_of(f"/files/{'0' * 32}_{'0' * 32}")),
    "DELETE /files/<file_id>": Sample(_of(f"/files/{'0' * 32}_{'0' * 32}")),
    "POST /probe": Sample(_of("/probe"), lambda _: {"frames": 1, "interval_ms": 0}),
    "GET /healthz": Sample(_of("/healthz")),
    "GET /readyz": Sample(_of("/readyz")),
    "GET /openapi.json": Sample(_of("/openapi.json")),
    "GET /docs": Sample(_of("/docs")),
    "GET /docs.css": Sample(_of("/docs.css")),
    "GET /theme.css": Sample(_of("/theme.css")),
    "GET /docs.js": Sample(_of("/docs.js")),
    "GET /metrics": Sample(_of("/metrics")),
    "GET /agent-client.js": Sample(_of("/agent-client.js")),
    "GET /agent-client.d.ts": Sample(_of("/agent-client.d.ts")),
    "POST /ag-ui": Sample(_of("/ag-ui"), _ag_ui),
    "POST /mcp": Sample(_of("/mcp"), _mcp),
    "GET /mcp": Sample(_mcp_place),
    "GET /.well-known/agent-card.json": Sample(_of("/.well-known/agent-card.json")),
    "POST /a2a": Sample(_of("/a2a?A2A-Version=1.0"), _a2a_rpc),
    "POST /a2a/": Sample(_of("/a2a/?A2A-Version=1.0"), _a2a_rpc),
    "POST /a2a/message:send": Sample(_of("/a2a/message:send?A2A-Version=1.0"), _a2a),
    "POST /a2a/message:stream": Sample(_of("/a2a/message:stream?A2A-Version=1.0"), _a2a),
    "GET /a2a/tasks": Sample(_of("/a2a/tasks?A2A-Version=1.0")),
    "GET /a2a/tasks/<task_id>": Sample(_a2a_task("")),
    "POST /a2a/tasks/<task_id>:cancel": Sample(_a2a_task(":cancel")),
    "POST /a2a/tasks/<task_id>:subscribe": Sample(_a2a_task(":subscribe")),
    "GET /a2a/tasks/<task_id>:subscribe": Sample(_a2a_task(":subscribe")),
    "POST /a2a/tasks/<task_id>/pushNotificationConfigs": Sample(
        _a2a_task("/pushNotificationConfigs")
    ),
    "GET /a2a/tasks/<task_id>/pushNotificationConfigs": Sample(
        _a2a_task("/pushNotificationConfigs")
    ),
    "GET /a2a/tasks/<task_id>/pushNotificationConfigs/<config_id>": Sample(
        _a2a_task("/pushNotificationConfigs/1")
    ),
    "DELETE /a2a/tasks/<task_id>/pushNotificationConfigs/<config_id>": Sample(
        _a2a_task("/pushNotificationConfigs/1")
    ),
    "GET /a2a/extendedAgentCard": Sample(_of("/a2a/extendedAgentCard?A2A-Version=1.0")),
    "POST /ai-sdk/chat": Sample(_of("/ai-sdk/chat"), _ai_sdk),
    "GET /ai-sdk/chat/<session_id>/stream": Sample(_of("/ai-sdk/chat/{session}/stream")),
    "POST /ai-sdk/chat/<session_id>/stop": Sample(_of("/ai-sdk/chat/{session}/stop")),
    "POST /langgraph/threads/<thread_id>/commands": Sample(
        _of("/langgraph/threads/{session}/commands"), _command
    ),
    "POST /langgraph/threads/<thread_id>/stream/events": Sample(
        _of("/langgraph/threads/{session}/stream/events"), _events
    ),
    "GET /langgraph/threads/<thread_id>/state": Sample(_of("/langgraph/threads/{session}/state")),
    "POST /langgraph/threads/<thread_id>/state": Sample(
        _of("/langgraph/threads/{session}/state"), lambda _: {}
    ),
    "POST /langgraph/threads/<thread_id>/history": Sample(
        _of("/langgraph/threads/{session}/history"), lambda _: {"limit": 1}
    ),
    "GET /langgraph/threads/<thread_id>/runs": Sample(_of("/langgraph/threads/{session}/runs")),
    "GET /langgraph/threads/<thread_id>/runs/<run_id>": Sample(
        _of("/langgraph/threads/{session}/runs/{run}")
    ),
    "POST /langgraph/threads/<thread_id>/runs/<run_id>/cancel": Sample(
        _of("/langgraph/threads/{session}/runs/{run}/cancel")
    ),
    "GET /langgraph/threads/<thread_id>/state/<checkpoint_id>": Sample(
        _of("/langgraph/threads/{session}/state/{run}")
    ),
    "POST /langgraph/threads/<thread_id>/state/checkpoint": Sample(
        _of("/langgraph/threads/{session}/state/checkpoint"), lambda _: {"checkpoint": {}}
    ),
    "POST /langgraph/threads": Sample(
        _of("/langgraph/threads"),
        lambda target: {"thread_id": target.session, "if_exists": "do_nothing"},
    ),
    "POST /langgraph/threads/search": Sample(
        _of("/langgraph/threads/search"), lambda _: {"limit": 1}
    ),
    "POST /langgraph/threads/count": Sample(_of("/langgraph/threads/count"), lambda _: {}),
    "GET /langgraph/threads/<thread_id>": Sample(_of("/langgraph/threads/{session}")),
    "PATCH /langgraph/threads/<thread_id>": Sample(
        _of("/langgraph/threads/{session}"), lambda _: {"metadata": {"forged": True}}
    ),
    "POST /langgraph/threads/<thread_id>/copy": Sample(_of("/langgraph/threads/{session}/copy")),
    "DELETE /langgraph/threads/<thread_id>": Sample(_of("/langgraph/threads/{session}")),
    "POST /langgraph/threads/<thread_id>/runs": Sample(
        _of("/langgraph/threads/{session}/runs"), _run
    ),
    "POST /langgraph/threads/<thread_id>/runs/stream": Sample(
        _of("/langgraph/threads/{session}/runs/stream"), _run
    ),
    "POST /langgraph/threads/<thread_id>/runs/wait": Sample(
        _of("/langgraph/threads/{session}/runs/wait"), _run
    ),
    "GET /langgraph/threads/<thread_id>/runs/<run_id>/stream": Sample(
        _of("/langgraph/threads/{session}/runs/{run}/stream")
    ),
    "GET /langgraph/threads/<thread_id>/runs/<run_id>/join": Sample(
        _of("/langgraph/threads/{session}/runs/{run}/join")
    ),
    "POST /langgraph/runs": Sample(_of("/langgraph/runs"), _run),
    "POST /langgraph/runs/stream": Sample(_of("/langgraph/runs/stream"), _run),
    "POST /langgraph/runs/wait": Sample(_of("/langgraph/runs/wait"), _run),
    "POST /langgraph/assistants": Sample(
        _of("/langgraph/assistants"),
        lambda _: {"graph_id": "agent", "if_exists": "do_nothing"},
    ),
    "POST /langgraph/assistants/count": Sample(_of("/langgraph/assistants/count"), lambda _: {}),
    "PATCH /langgraph/assistants/<assistant_id>": Sample(
        _of("/langgraph/assistants/agent"), lambda _: {}
    ),
    "DELETE /langgraph/assistants/<assistant_id>": Sample(_of("/langgraph/assistants/agent")),
    "POST /langgraph/assistants/<assistant_id>/latest": Sample(
        _of("/langgraph/assistants/agent/latest"), lambda _: {"version": 1}
    ),
    "POST /langgraph/assistants/<assistant_id>/versions": Sample(
        _of("/langgraph/assistants/agent/versions"), lambda _: {}
    ),
    "POST /langgraph/assistants/search": Sample(_of("/langgraph/assistants/search"), lambda _: {}),
    "GET /langgraph/assistants/<assistant_id>": Sample(_of("/langgraph/assistants/agent")),
    "GET /langgraph/assistants/<assistant_id>/graph": Sample(
        _of("/langgraph/assistants/agent/graph")
    ),
    "GET /langgraph/assistants/<assistant_id>/schemas": Sample(
        _of("/langgraph/assistants/agent/schemas")
    ),
    "GET /v1/models": Sample(_of("/v1/models")),
    "GET /v1/models/<path:model_id>": Sample(_of("/v1/models/agent")),
    "POST /v1/chat/completions": Sample(_of("/v1/chat/completions"), _completion),
    "POST /v1/responses": Sample(_of("/v1/responses"), _response),
    "WS /v1/responses": Sample(_of("/v1/responses")),
    "POST /v1/responses/compact": Sample(_of("/v1/responses/compact"), _response),
    "GET /v1/responses/<response_id>/input_items": Sample(
        _of("/v1/responses/{response}/input_items")
    ),
    "GET /v1/responses/<response_id>": Sample(_of("/v1/responses/{response}")),
    "POST /v1/responses/<response_id>/cancel": Sample(_of("/v1/responses/{response}/cancel")),
    "DELETE /v1/responses/<response_id>": Sample(_of("/v1/responses/{response}")),
}


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
