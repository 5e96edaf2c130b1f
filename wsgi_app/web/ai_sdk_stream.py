"""A turn as the AI SDK's stream, which ends where the user has to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Response, request

from wsgi_app.delivery.reader import Reader
from wsgi_app.events import AnyEvent, EventId, InputRequest, NumberedEvent, decode_event
from wsgi_app.store.base import SessionKey
from wsgi_app.web.mount import Mount
from wsgi_app.web.respond import stream_response
from wsgi_app.wire import ai_sdk
from wsgi_app.wire.ai_sdk_question import AskedQuestion
from wsgi_app.wire.ai_sdk_request import Answer

_PAGE_EVENTS = 500


def stream_turn(  # noqa: PLR0913 - the parts of a stream, the optional ones by name
    mount: Mount,
    key: SessionKey,
    turn: int,
    reader: Reader,
    *,
    start: Callable[[], None] = lambda: None,
    answer: Answer | None = None,
) -> Response:
    """Stream a turn to its end, or to a question that waits, from a reader at its first event.

    With an ``answer`` only what comes behind its question.
    """
    stream = ai_sdk.MessageStream(
        ai_sdk.message_id(key.session_id, turn),
        # Version 5 does not know approvals, and ends the stream with an error at one.
        approvals=request.args.get("version") != "5",
        after_question=None if answer is None else answer.request_id,
        answer=None if answer is None else answer.value,
    )
    encode = _Encoder(mount, key, stream, reader, None if answer is None else answer.request_id)
    return stream_response(mount, reader, key, turn, start, encode=encode, headers=ai_sdk.HEADERS)


class _Encoder:
    """Ends the reader at a question that waits; used by one thread.

    The client sends an answer only once the stream has ended.
    """

    def __init__(
        self,
        mount: Mount,
        key: SessionKey,
        stream: ai_sdk.MessageStream,
        reader: Reader,
        answered: str | None,
    ) -> None:
        self._mount = mount
        self._key = key
        self._stream = stream
        self._reader = reader
        self._answered = answered
        self._ended = False

    def __call__(self, numbered: NumberedEvent) -> bytes:
        if self._ended:
            return b""
        frames = self._stream.encode(numbered)
        asked = self._stream.question
        if not isinstance(numbered.event, InputRequest) or asked is None:
            return frames
        if asked.request_id == self._answered or not self._waits(asked, numbered.id):
            return frames
        self._ended = True
        self._reader.finish()
        return frames + self._stream.end_for_answer()

    def _waits(self, asked: AskedQuestion, place: EventId) -> bool:
        """Whether a question still waits; of another worker's turn as far as its journal shows."""
        run = self._mount.runner.find(self._key, place.turn)
        if run is not None:
            return run.questions.is_pending(asked.request_id)
        question = asked.copy()
        return not any(map(question.closed_by, stored_events(self._mount, self._key, place)))


def stored_events(mount: Mount, key: SessionKey, after: EventId) -> Iterator[AnyEvent]:
    """What the journal holds by now of the turn of ``after``, behind it."""
    while True:
        found = mount.store.read(key, after, _PAGE_EVENTS)
        rows = [] if found is None else [row for row in found.events if row[0].turn == after.turn]
        if not rows:
            return
        for place, json in rows:
            after = place
            yield decode_event(json)
