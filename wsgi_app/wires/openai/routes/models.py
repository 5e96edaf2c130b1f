"""The agent as the one model that there is."""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from wsgi_app.errors import RequestError
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.wires.openai.routes.turns import model_name

OWNER: Final = "wsgi-agent-host"


def get_models(mount: Mount) -> Response:
    """GET /v1/models: the agent."""
    return json_response({"object": "list", "data": [_model(mount)]})


def get_model(mount: Mount, model_id: str) -> Response:
    """GET /v1/models/<model_id>: the agent, under its own name alone."""
    if model_id != model_name(mount):
        raise RequestError("not_found", "There is no such model.")
    return json_response(_model(mount))


def _model(mount: Mount) -> dict[str, Any]:
    return {"id": model_name(mount), "object": "model", "created": 0, "owned_by": OWNER}
