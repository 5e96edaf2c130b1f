"""``response.steer`` over a WebSocket: what its client says to the response that is being made."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from wsgi_app.errors import AgentHostError
from wsgi_app.events import AnyEvent, Cancelled, Done, Error, Steered, encode_json
from wsgi_app.store.base import SessionKey
from wsgi_app.web.access import demand
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import decode_json
from wsgi_app.web.steer import new_steer_id, steer_turn
from wsgi_app.wires.openai.encode.responses import ResponseBuilder
from wsgi_app.wires.openai.request.steer import SteerFrame

#: Messages that wait while another one is on its way.
MAX_WAITING: Final = 16
_NAME: Final = "response.steer"
#: The host's codes in the protocol's words.
_CODES: Final = {
    "not_steerable": "response_not_active",
    "queue_full": "too_many_pending_steers",
    **dict.fromkeys(("invalid_request", "too_large"), "invalid_input"),
}


class SteeredResponses:
    """The messages of one connection; used by its request's thread."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        #: What the turn has, and its agent has not taken.
        self._accepted: dict[str, SteerFrame] = {}

    def take(self, text: str | bytes) -> bool:
        """Whether what came over the connection is such a message; it waits for `serve`."""
        data = text.encode() if isinstance(text, str) else text
        if _NAME.encode() not in data:
            return False
        try:
            decode_json(data, SteerFrame)
        except AgentHostError:
            return False  # something else, or reported as a bad request
        self._waiting.append(data)
        return True

    def serve(self, key: SessionKey | None, builder: ResponseBuilder | None) -> list[bytes]:
        """Send what waits to the turn, or refuse it without one; returns the events about it."""
        frames = []
        while self._waiting:
            frame = decode_json(self._waiting.popleft(), SteerFrame)
            frames.append(self._serve(frame, key, builder))
        return frames

    def note(self, event: AnyEvent, builder: ResponseBuilder) -> list[bytes]:
        """See an event of the turn; returns the events about messages that stay unanswered."""
        if isinstance(event, Steered) and event.status == "taken":
            self._accepted.pop(event.steer_id, None)
        if not isinstance(event, (Done, Error, Cancelled)):
            return []
        left, self._accepted = self._accepted, {}
        reason = "The response has ended before its agent took the input."
        return [
            _failed(builder, frame, "successor_creation_failed", reason, steer_id)
            for steer_id, frame in left.items()
        ]

    def pending(self, builder: ResponseBuilder) -> list[bytes]:
        """The events about messages that wait until the client has run its tools."""
        stubs = builder.required_input()
        made = [
            {"steer": _steer(steer_id, frame), "reason": _WAITING, "required_input": stubs}
            for steer_id, frame in self._accepted.items()
            if stubs
        ]
        return [_event(builder, "pending", **fields) for fields in made]

    def _serve(
        self, frame: SteerFrame, key: SessionKey | None, builder: ResponseBuilder | None
    ) -> bytes:
        if key is None or builder is None:
            return _failed(None, frame, "response_not_active", "No response is being made.")
        if not builder.is_or_follows(frame.previous_response_id):
            reason = "This connection makes no such response."
            return _failed(builder, frame, "response_not_found", reason)
        steer_id = new_steer_id(None)
        try:
            demand("chat")
            steer_turn(self._mount, key, steer_id, frame.text())
        except AgentHostError as error:
            code = _CODES.get(error.code, error.code)
            return _failed(builder, frame, code, error.message)
        self._accepted[steer_id] = frame
        return _event(builder, "accepted", steer=_steer(steer_id, frame))


_WAITING: Final = "waiting_for_required_input"


def _steer(steer_id: str, frame: SteerFrame) -> dict[str, str]:
    return {"id": steer_id, "previous_response_id": frame.previous_response_id}


def _failed(
    builder: ResponseBuilder | None,
    frame: SteerFrame,
    code: str,
    message: str,
    steer_id: str | None = None,
) -> bytes:
    named = {} if steer_id is None else {"id": steer_id}
    steer = {**named, "previous_response_id": frame.previous_response_id, "input": frame.input}
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return _event(builder, "failed", error=error, steer=steer)


def _event(builder: ResponseBuilder | None, kind: str, **fields: Any) -> bytes:
    # Beside the response's own events, which have the same numbers for all readers.
    number = 0 if builder is None else builder.next_number
    return encode_json({"type": f"{_NAME}.{kind}", "sequence_number": number, **fields})
