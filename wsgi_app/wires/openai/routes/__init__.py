"""OpenAI's routes: the agent as a model, for every client that speaks to one."""

from __future__ import annotations

from typing import Final

from wsgi_app.web.envelope import Envelope
from wsgi_app.web.route import CANCEL, CHAT, DELETE, READ, Route, Wire
from wsgi_app.wires.openai import describe
from wsgi_app.wires.openai.encode.errors import STATUSES
from wsgi_app.wires.openai.routes.chat import post_chat_completions
from wsgi_app.wires.openai.routes.compact import post_compact
from wsgi_app.wires.openai.routes.models import get_model, get_models
from wsgi_app.wires.openai.routes.read import (
    delete_response,
    get_input_items,
    get_response,
    post_response_cancel,
)
from wsgi_app.wires.openai.routes.responses import post_responses
from wsgi_app.wires.openai.routes.socket import responses_socket
from wsgi_app.wires.openai.routes.turns import openai_error

ERRORS: Final = Envelope(openai_error, describe.OpenAIError, ("error",), STATUSES)
_RESPONSE: Final = "/v1/responses/<response_id>"

WIRE: Final = Wire(
    "openai",
    (
        Route("GET", "/v1/models", get_models, READ, describe.MODELS, errors=ERRORS),
        Route("GET", "/v1/models/<path:model_id>", get_model, READ, describe.MODEL, errors=ERRORS),
        Route(
            "POST",
            "/v1/chat/completions",
            post_chat_completions,
            CHAT,
            describe.CHAT,
            errors=ERRORS,
        ),
        Route("POST", "/v1/responses", post_responses, CHAT, describe.RESPONSES, errors=ERRORS),
        Route("WS", "/v1/responses", responses_socket, READ, describe.SOCKET, errors=ERRORS),
        Route("POST", "/v1/responses/compact", post_compact, CHAT, describe.COMPACT, errors=ERRORS),
        Route(
            "GET",
            f"{_RESPONSE}/input_items",
            get_input_items,
            READ,
            describe.INPUT_ITEMS,
            errors=ERRORS,
        ),
        Route("GET", _RESPONSE, get_response, READ, describe.RESPONSE, errors=ERRORS),
        Route(
            "POST",
            f"{_RESPONSE}/cancel",
            post_response_cancel,
            CANCEL,
            describe.CANCEL,
            errors=ERRORS,
        ),
        Route("DELETE", _RESPONSE, delete_response, DELETE, describe.DELETE, errors=ERRORS),
    ),
    root="/v1",
    errors=ERRORS,
)
