"""OpenAI's routes: the agent as a model, for every client that speaks to one."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from wsgi_app.wires.openai.routes.chat import post_chat_completions
from wsgi_app.wires.openai.routes.models import get_model, get_models
from wsgi_app.wires.openai.routes.read import delete_response, get_response, post_response_cancel
from wsgi_app.wires.openai.routes.responses import post_responses

ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/v1/models", get_models),
    ("GET", "/v1/models/<path:model_id>", get_model),
    ("POST", "/v1/chat/completions", post_chat_completions),
    ("POST", "/v1/responses", post_responses),
    ("GET", "/v1/responses/<response_id>", get_response),
    ("POST", "/v1/responses/<response_id>/cancel", post_response_cancel),
    ("DELETE", "/v1/responses/<response_id>", delete_response),
]
