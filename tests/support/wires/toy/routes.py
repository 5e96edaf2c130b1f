"""The toy's route."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import AgentHostError
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import Envelope, error_headers, error_status, json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, parse_body
from wsgi_app.web.respond import stream_response
from wsgi_app.web.route import CHAT, Route, Wire
from wsgi_app.web.turns import open_turn

from . import describe
from .encode import encode_toy
from .request import ToyBody


def toy_error(error: AgentHostError) -> Response:
    """Refuse as the toy does."""
    told = {"oops": {"code": error.code}}
    return json_response(told, error_status(error), error_headers(error))


def post_toy(mount: Mount, session_id: str) -> Response:
    """POST /toy/<session_id>: say something to the agent."""
    key = session_key(check_session_id(session_id))
    body = parse_body(request, ToyBody, mount.settings.max_body_bytes)
    wanted = TurnRequest(message=body.say, metadata=body.metadata)
    with open_turn(mount, key, wanted) as turn:
        return stream_response(turn, encode_toy, 0.0)


ERRORS: Final = Envelope(toy_error, describe.ToyError, ("oops",))
WIRE: Final = Wire(
    "toy",
    (Route("POST", "/toy/<session_id>", post_toy, CHAT, describe.TOY, errors=ERRORS),),
    root="/toy",
    errors=ERRORS,
)
