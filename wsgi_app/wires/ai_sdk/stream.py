"""A turn as the AI SDK's stream, which ends where the user has to answer."""

from __future__ import annotations

from flask import Response, request

from wsgi_app.web.respond import stream_response
from wsgi_app.web.turns import OpenTurn
from wsgi_app.wires.ai_sdk import encode as ai_sdk
from wsgi_app.wires.ai_sdk.request import Answer
from wsgi_app.wires.shared.questions import UntilQuestion


def stream_turn(turn: OpenTurn, batch_seconds: float, answer: Answer | None = None) -> Response:
    """Stream a turn to its end, or to a question that waits, from a reader at its first event.

    With an ``answer`` only what comes behind its question.
    """
    stream = ai_sdk.MessageStream(
        ai_sdk.message_id(turn.key.session_id, turn.turn),
        # Version 5 does not know approvals, and ends the stream with an error at one.
        approvals=request.args.get("version") != "5",
        after_question=None if answer is None else answer.request_id,
        answer=None if answer is None else answer.value,
        files_url=f"{request.script_root}{request.path.partition('/ai-sdk/')[0]}/files",
    )
    answered = None if answer is None else answer.request_id
    encode = UntilQuestion(turn.mount, turn.key, stream, turn.reader, answered)
    return stream_response(turn, encode, batch_seconds, headers=ai_sdk.HEADERS)
