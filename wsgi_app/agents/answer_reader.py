"""A model's answer from its raw bytes, cut anywhere."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from wsgi_app.agents.model_api import ModelStep
from wsgi_app.agents.sse_reader import MAX_EVENT_BYTES, SseMessage, SseReader
from wsgi_app.agents.upstream_errors import malformed_answer
from wsgi_app.errors import UpstreamError

#: What may stand before the answer: a byte order mark, and white space.
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"


class AnswerReader:
    """Hands an answer's events to its step as soon as their bytes are complete.

    A server that does not stream sends one JSON object instead: the step takes it as one event. A
    web page is refused. Used by one stream alone; memory is bounded as with `SseReader`.
    """

    def __init__(self, step: ModelStep) -> None:
        self._step = step
        self._sse = SseReader()
        self._json = bytearray()
        self._has_begun = self._is_json = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; raises UpstreamError for what is no answer of a model."""
        if not self._has_begun:
            piece = piece.lstrip(_BLANK)
            if not piece:
                return
            self._has_begun = True
            self._is_json = piece.startswith((b"{", b"["))
            if piece.startswith(b"<"):
                raise malformed_answer()
        if self._is_json:
            self._take_json(piece)
        else:
            self._take_events(self._sse.feed(piece))

    def close(self) -> None:
        """Take the end of the bytes; raises UpstreamError if the answer is not whole."""
        if self._is_json:
            self._step.take(SseMessage(b"", bytes(self._json)))
            if not self._step.is_finished:
                raise malformed_answer()
        else:
            # Of a whole answer, half an event that would only count its tokens.
            with suppress(*([UpstreamError] if self._step.is_finished else [])):
                self._take_events(self._sse.close())
        self._step.close()

    def _take_json(self, piece: bytes) -> None:
        if len(self._json) + len(piece) > MAX_EVENT_BYTES:
            raise malformed_answer()
        self._json += piece

    def _take_events(self, messages: list[SseMessage]) -> None:
        for message in messages:
            self._step.take(message)
