"""What a model's answer says of itself while a framework reads it: its end, its error, its tokens.

Both of OpenAI's APIs are read, streamed or as one object, as `OpenAIAgent` reads them.
"""

from __future__ import annotations

from typing import Any, Final

from wsgi_app.agents.answer_reader import AnswerReader
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.model_api import ModelStep
from wsgi_app.agents.responses_stream import ResponsesStep
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent, Status, Usage

_STEPS: Final[dict[str, type[ModelStep]]] = {
    "/chat/completions": ChatStep,
    "/responses": ResponsesStep,
}
_OK: Final = 200


class CheckedAnswer:
    """Reads along with one answer's reader, which is the only one that touches it."""

    def __init__(self, turn: Turn, step: type[ModelStep], *, streams: bool) -> None:
        self._turn = turn
        # Whether an answer without text is one is the framework's to say.
        self._step = step(self._emit, has_spoken=True)
        self._reader = AnswerReader(self._step)
        self._streams = streams
        self._is_closed = self._is_counted = False
        #: What is to be raised behind the piece just taken.
        self.error: UpstreamError | None = None

    def take(self, piece: bytes) -> bytes:
        """Take the next piece; returns what of it the framework should get before `error`."""
        try:
            self._reader.feed(piece)
        except UpstreamError as error:
            self._fail(error)
            return b""
        if not self._step.ended:
            return piece
        self.close()
        if self.error is None:
            return piece
        # Who reads that nothing follows stops reading.
        return piece[: piece.rfind(b"\n", 0, max(piece.rfind(b"[DONE]"), 0)) + 1]

    def close(self) -> None:
        """Take the answer's end; `error` says whether it is whole."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._reader.close()
        except UpstreamError as error:
            self._fail(error)
        self.count()

    def count(self) -> None:
        """Add the tokens that the answer reported, once."""
        if not self._is_counted and self._step.usage != Usage():
            self._is_counted = True
            self._turn.add_usage(self._step.usage)

    def _fail(self, error: UpstreamError) -> None:
        # An object of another kind than the step knows is the framework's to read.
        if self._streams or error.details:
            self.error = error

    def _emit(self, item: str | AnyEvent) -> None:
        if isinstance(item, Status):
            self._turn.emit(item)


def checked_answer(turn: Turn, request: Any, response: Any) -> CheckedAnswer | None:
    """Watch the answer to an HTTP request if it is a model's."""
    step = step_of(request)
    encoding = response.headers.get("content-encoding", "identity")
    if step is None or response.status_code != _OK or encoding != "identity":
        return None
    kind = response.headers.get("content-type", "")
    return CheckedAnswer(turn, step, streams=kind.startswith("text/event-stream"))


def step_of(request: Any) -> type[ModelStep] | None:
    """What reads the answer to an HTTP request to a model; None for all others."""
    if request.method != "POST":
        return None
    path = request.url.path
    return next((step for end, step in _STEPS.items() if path.endswith(end)), None)
