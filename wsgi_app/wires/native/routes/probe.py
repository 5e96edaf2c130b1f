"""The route that measures the way from the host to a client."""

from __future__ import annotations

import secrets
from typing import Annotated, Final

from flask import Response, request
from msgspec import Meta, Struct

from wsgi_app.agents.probe import ProbeAgent, ProbePlan
from wsgi_app.web.mount import Mount, session_key
from wsgi_app.web.parse import invalid, parse_body, wants_json
from wsgi_app.web.respond import answer_response, stream_response
from wsgi_app.web.turns import TurnRequest, open_turn

#: Begins the names of the sessions, which are forgotten a minute after their turn.
SESSION_PREFIX: Final = "probe-"
#: What a client has to know of the host to judge what it sees.
KEEPALIVE_HEADER: Final = "X-Keepalive-Seconds"
TURN_TIMEOUT_HEADER: Final = "X-Turn-Timeout-Seconds"


class ProbeBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of ``POST /probe``."""

    frames: Annotated[int, Meta(ge=1, le=100)] = 10
    interval_ms: Annotated[int, Meta(ge=0, le=1000)] = 100
    silence_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0


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
    wanted = TurnRequest(message="probe", ephemeral=True, agent=ProbeAgent(plan), orphan_seconds=0)
    turn = open_turn(mount, session_key(SESSION_PREFIX + secrets.token_urlsafe(16)), wanted)
    try:
        if wants_json(request):
            response = answer_response(turn.wait(), turn.key, turn.turn)
        else:
            response = stream_response(mount, turn.reader, turn.key, turn.turn, turn.start)
    except BaseException:
        turn.close()
        raise
    response.headers[KEEPALIVE_HEADER] = f"{mount.settings.keepalive_seconds:g}"
    response.headers[TURN_TIMEOUT_HEADER] = f"{longest:g}"
    return response
