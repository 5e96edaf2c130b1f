"""A2A over JSON-RPC: one path for all operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, Union

from flask import Response, g, request
from msgspec import UNSET

from wsgi_app.events import encode_json
from wsgi_app.web.access import demand
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import decode_json, parse_body
from wsgi_app.wires.a2a.encode import JsonObject
from wsgi_app.wires.a2a.request import ListRequest, Rpc, SendRequest, TaskRequest
from wsgi_app.wires.a2a.routes import listing, push, tasks
from wsgi_app.wires.a2a.routes.card import extended_card_not_supported
from wsgi_app.wires.a2a.routes.refusals import A2aError

T = TypeVar("T")
Made = Union[JsonObject, Response]


def post_a2a(mount: Mount) -> Response:
    """POST /a2a: do what a request of JSON-RPC asks for."""
    rpc = parse_body(request, Rpc, mount.settings.max_body_bytes)
    g.wsgi_app_a2a_id = rpc.id
    tasks.check_version()
    operation = _OPERATIONS.get(rpc.method)
    if operation is None:
        raise A2aError("METHOD_NOT_FOUND", "There is no such method.")
    made = operation(mount, rpc)
    if isinstance(made, Response):
        return made
    return json_response(_enveloped(rpc)(made))


def post_a2a_root(mount: Mount) -> Response:
    """POST /a2a/: the same, for clients that put a slash behind each URL."""
    return post_a2a(mount)


def _enveloped(rpc: Rpc) -> Callable[[JsonObject], JsonObject]:
    return lambda result: {"jsonrpc": "2.0", "id": rpc.id, "result": result}


def _params(rpc: Rpc, kind: type[T]) -> T:
    """A request's parameters; raises RequestError."""
    sent: Any = {} if rpc.params is UNSET else rpc.params
    found: T = decode_json(encode_json(sent), kind)
    return found


def _send_message(mount: Mount, rpc: Rpc) -> Made:
    return tasks.send(mount, tasks.check_sent(_params(rpc, SendRequest)))


def _stream_message(mount: Mount, rpc: Rpc) -> Made:
    return tasks.stream(mount, tasks.check_sent(_params(rpc, SendRequest)), _enveloped(rpc))


def _get_task(mount: Mount, rpc: Rpc) -> Made:
    demand("read")
    wanted = _params(rpc, TaskRequest)
    ref, view = tasks.known_task(mount, wanted.id)
    return tasks.task_of(mount, ref, view).document(wanted.history_length)


def _list_tasks(mount: Mount, rpc: Rpc) -> Made:
    demand("read")
    return listing.list_tasks(mount, _params(rpc, ListRequest))


def _cancel_task(mount: Mount, rpc: Rpc) -> Made:
    demand("cancel")
    return tasks.cancel(mount, _params(rpc, TaskRequest).id)


def _subscribe(mount: Mount, rpc: Rpc) -> Made:
    demand("read")
    return tasks.subscribe(mount, _params(rpc, TaskRequest).id, _enveloped(rpc))


def _push(_mount: Mount, _rpc: Rpc) -> Made:
    raise tasks.push_not_supported()


def _extended_card(_mount: Mount, _rpc: Rpc) -> Made:
    raise extended_card_not_supported()


_OPERATIONS: Final[dict[str, Callable[[Mount, Rpc], Made]]] = {
    "SendMessage": _send_message,
    "SendStreamingMessage": _stream_message,
    "GetTask": _get_task,
    "ListTasks": _list_tasks,
    "CancelTask": _cancel_task,
    "SubscribeToTask": _subscribe,
    "GetExtendedAgentCard": _extended_card,
    **dict.fromkeys(push.METHODS, _push),
}
