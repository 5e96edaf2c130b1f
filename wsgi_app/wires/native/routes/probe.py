"""The route that measures the way from the host to a client."""

from __future__ import annotations

import secrets
from typing import Final

from flask import Response, request

from wsgi_app.agents.probe import ProbeAgent, ProbePlan
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.web.current import session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid, parse_body
from wsgi_app.web.respond import stream_response
from wsgi_app.web.turns import open_turn
from wsgi_app.wires.native.describe import KEEPALIVE_HEADER, TURN_TIMEOUT_HEADER
from wsgi_app.wires.native.options import StreamOptions, wants_json
from wsgi_app.wires.native.request import ProbeBody
from wsgi_app.wires.native.respond import answer_response, native_encoder

#: Begins the names of the sessions, which are forgotten a minute after their turn.
SESSION_PREFIX: Final = "probe-"


def post_probe(mount: Mount) -> Response:
    """POST /probe: a turn of the host's own, whose events come at known times.

    It is a turn like others, in a session of its own, and keeps the same bounds; but the model
    and the hosted agent are not asked, and a hang-up ends it at once.
    """
    body = parse_body(request, ProbeBody, mount.settings.max_body_bytes, optional=True)
    seconds = body.frames * body.interval_ms / 1000 + body.silence_seconds
    longest = mount.settings.turn_timeout_seconds
    if seconds >= longest:
        raise invalid("silence_seconds", f"Expected a probe shorter than a turn: {longest:g} s")
    plan = ProbePlan(
        frames=body.frames,
        interval_seconds=body.interval_ms / 1000,
        silence_seconds=body.silence_seconds,
    )
    options = StreamOptions.read(request)
    wanted = TurnRequest(message="probe", ephemeral=True, agent=ProbeAgent(plan), orphan_seconds=0)
    key = session_key(SESSION_PREFIX + secrets.token_urlsafe(16))
    with open_turn(mount, key, wanted) as turn:
        if wants_json(request):
            response = answer_response(turn.wait(), key, turn.turn)
        else:
            response = stream_response(turn, native_encoder(options), options.batch_seconds)
    response.headers[KEEPALIVE_HEADER] = f"{mount.settings.keepalive_seconds:g}"
    response.headers[TURN_TIMEOUT_HEADER] = f"{longest:g}"
    return response
