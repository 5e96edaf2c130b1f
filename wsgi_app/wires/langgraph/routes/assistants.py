"""The hosted agent as an assistant: there is one, under whatever name."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request

from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import parse_body
from wsgi_app.wires.langgraph.encode.nodes import GRAPH
from wsgi_app.wires.langgraph.request.threads import AssistantBody, SearchBody

#: When an assistant that has always been there was made.
_EPOCH: Final = "1970-01-01T00:00:00.000Z"
_OBJECT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"messages": {"type": "array", "items": {"type": "object"}}},
}


def _assistant(mount: Mount, name: str = "") -> dict[str, Any]:
    name = name or mount.settings.model or GRAPH
    return {
        "assistant_id": name,
        "graph_id": name,
        "name": name,
        "description": None,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "version": 1,
        "created_at": _EPOCH,
        "updated_at": _EPOCH,
    }


def post_assistants(mount: Mount) -> Response:
    """POST /langgraph/assistants: the assistant of a graph's name, which is the hosted agent."""
    body = parse_body(request, AssistantBody, mount.settings.max_body_bytes)
    return json_response(_assistant(mount, body.assistant_id or body.graph_id))


def post_assistants_search(mount: Mount) -> Response:
    """POST /langgraph/assistants/search: the one assistant."""
    body = parse_body(request, SearchBody, mount.settings.max_body_bytes, optional=True)
    return json_response([] if body.offset or not body.limit else [_assistant(mount)])


def get_assistant(mount: Mount, assistant_id: str) -> Response:
    """GET /langgraph/assistants/<assistant_id>: the hosted agent."""
    return json_response(_assistant(mount, assistant_id))


def get_assistant_graph(mount: Mount, assistant_id: str) -> Response:
    """GET /langgraph/assistants/<assistant_id>/graph: one node, which is the agent."""
    del mount, assistant_id
    nodes = [{"id": name, "type": "runnable", "data": {"name": name}} for name in _NODES]
    edges = [{"source": one, "target": other} for one, other in zip(_NODES, _NODES[1:])]
    return json_response({"nodes": nodes, "edges": edges})


def get_assistant_schemas(mount: Mount, assistant_id: str) -> Response:
    """GET /langgraph/assistants/<assistant_id>/schemas: a state of messages."""
    del mount
    shapes = dict.fromkeys(("input_schema", "output_schema", "state_schema"), _OBJECT)
    others: dict[str, Any] = {"config_schema": {}, "context_schema": {}}
    return json_response({"graph_id": assistant_id, **shapes, **others})


_NODES: Final = ("__start__", GRAPH, "__end__")
