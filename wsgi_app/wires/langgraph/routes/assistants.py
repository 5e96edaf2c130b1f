"""The hosted agent as an assistant: there is one, under whatever name."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request

from wsgi_app.errors import RequestError
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid, parse_body
from wsgi_app.wires.langgraph.encode.nodes import GRAPH
from wsgi_app.wires.langgraph.request.threads import (
    AssistantBody,
    AssistantSearchBody,
    VersionsBody,
)

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
    """POST /langgraph/assistants: the assistant of a graph's name, if one that is there will do."""
    body = parse_body(request, AssistantBody, mount.settings.max_body_bytes)
    if body.if_exists != "do_nothing":
        raise invalid("if_exists", 'Expected "do_nothing": clients make no assistants here')
    return json_response(_assistant(mount, body.assistant_id or body.graph_id))


def post_assistants_search(mount: Mount) -> Response:
    """POST /langgraph/assistants/search: the one assistant, if it is what is looked for."""
    body = _search(mount)
    found = _found(mount, body)[body.offset : body.offset + body.limit]
    names = body.select
    if names is not None:
        found = [{name: one[name] for name in names if name in one} for one in found]
    return json_response(found)


def post_assistants_count(mount: Mount) -> Response:
    """POST /langgraph/assistants/count: how many a search finds."""
    return json_response(len(_found(mount, _search(mount))))


def _search(mount: Mount) -> AssistantSearchBody:
    return parse_body(request, AssistantSearchBody, mount.settings.max_body_bytes, optional=True)


def _found(mount: Mount, body: AssistantSearchBody) -> list[dict[str, Any]]:
    one = _assistant(mount, body.graph_id or "")
    is_named = body.name is None or body.name.lower() in one["name"].lower()
    known: dict[str, Any] = one["metadata"]
    fits = all(known.get(name) == value for name, value in (body.metadata or {}).items())
    return [one] if is_named and fits else []


def post_assistant_versions(mount: Mount, assistant_id: str) -> Response:
    """POST /langgraph/assistants/<assistant_id>/versions: the one that there is."""
    body = parse_body(request, VersionsBody, mount.settings.max_body_bytes, optional=True)
    found = _found(mount, AssistantSearchBody(graph_id=assistant_id, metadata=body.metadata))
    return json_response(found[body.offset : body.offset + body.limit])


def patch_assistant(mount: Mount, assistant_id: str) -> Response:
    """PATCH /langgraph/assistants/<assistant_id>: refused, as the agent is the site's."""
    del mount, assistant_id
    raise _read_only()


def delete_assistant(mount: Mount, assistant_id: str) -> Response:
    """DELETE /langgraph/assistants/<assistant_id>: refused, as the agent is the site's."""
    del mount, assistant_id
    raise _read_only()


def post_assistant_latest(mount: Mount, assistant_id: str) -> Response:
    """POST /langgraph/assistants/<assistant_id>/latest: refused, as there is one version."""
    del mount, assistant_id
    raise _read_only()


def _read_only() -> RequestError:
    message = "The assistant is the agent that the site hosts: no client changes it."
    return RequestError("method_not_allowed", message, headers={"Allow": "GET"})


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
