"""The routes for A2A clients: the card, and both bindings of the protocol over HTTP."""

from __future__ import annotations

from typing import Final

from wsgi_app.web.envelope import Envelope
from wsgi_app.web.route import CANCEL, CHAT, OPEN, READ, Route, Wire
from wsgi_app.wires.a2a import describe
from wsgi_app.wires.a2a.routes import card, http, push, rpc
from wsgi_app.wires.a2a.routes.refusals import http_refusal, rpc_refusal

_RPC: Final = Envelope(rpc_refusal, describe.RpcRefusal)
_HTTP: Final = Envelope(http_refusal, describe.HttpRefusal)
_TASK: Final = "/a2a/tasks/<task_id>"
_CONFIGS: Final = f"{_TASK}/pushNotificationConfigs"

WIRE: Final = Wire(
    "a2a",
    (
        Route("GET", card.PATH, card.get_agent_card, OPEN, describe.CARD),
        Route("POST", "/a2a", rpc.post_a2a, CHAT, describe.RPC, errors=_RPC),
        Route("POST", "/a2a/", rpc.post_a2a_root, CHAT, describe.RPC, errors=_RPC),
        Route("POST", "/a2a/message:send", http.send_message, CHAT, describe.SEND, errors=_HTTP),
        Route(
            "POST",
            "/a2a/message:stream",
            http.stream_message,
            CHAT,
            describe.STREAM,
            errors=_HTTP,
        ),
        Route("GET", "/a2a/tasks", http.list_tasks, READ, describe.LIST, errors=_HTTP),
        Route("GET", _TASK, http.get_task, READ, describe.TASK, errors=_HTTP),
        Route("POST", f"{_TASK}:cancel", http.cancel_task, CANCEL, describe.CANCEL, errors=_HTTP),
        Route(
            "POST",
            f"{_TASK}:subscribe",
            http.subscribe_to_task,
            READ,
            describe.SUBSCRIBE,
            errors=_HTTP,
        ),
        Route(
            "GET",
            f"{_TASK}:subscribe",
            http.read_task,
            READ,
            describe.SUBSCRIBE,
            errors=_HTTP,
        ),
        Route("POST", _CONFIGS, push.create_config, CHAT, describe.PUSH, errors=_HTTP),
        Route("GET", _CONFIGS, push.list_configs, READ, describe.PUSH, errors=_HTTP),
        Route("GET", f"{_CONFIGS}/<config_id>", push.get_config, READ, describe.PUSH, errors=_HTTP),
        Route(
            "DELETE",
            f"{_CONFIGS}/<config_id>",
            push.delete_config,
            CHAT,
            describe.PUSH,
            errors=_HTTP,
        ),
        Route(
            "GET",
            "/a2a/extendedAgentCard",
            card.get_extended_card,
            READ,
            describe.EXTENDED,
            errors=_HTTP,
        ),
    ),
    root="/a2a",
    errors=_HTTP,
)
