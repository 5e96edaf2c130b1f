"""A request for each route of a host that means it well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

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


def _mcp_position(target: Target) -> str:
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
    "GET /mcp": Sample(_mcp_position),
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
