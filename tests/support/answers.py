"""Reads raw answers of model providers as the built-in agent does, without a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from wsgi_app.agents.answer_reader import AnswerReader
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.model_api import ModelStep
from wsgi_app.agents.responses_stream import ResponsesStep
from wsgi_app.events import Thinking

STEPS: Final[dict[str, type[ChatStep | ResponsesStep]]] = {
    "chat": ChatStep,
    "responses": ResponsesStep,
}


class ReadAnswer:
    """What came of an answer; raises UpstreamError where the agent would."""

    def __init__(self, api: str, pieces: Iterable[bytes], *, has_spoken: bool = False) -> None:
        self.emitted: list[Any] = []
        self.step: ModelStep = STEPS[api](self.emitted.append, has_spoken=has_spoken)
        reader = AnswerReader(self.step)
        for piece in pieces:
            reader.feed(piece)
            if self.step.ended:
                break
        reader.close()

    @property
    def thinking(self) -> str:
        """The reasoning that was sent."""
        return "".join(item.content for item in self.emitted if isinstance(item, Thinking))

    @property
    def text(self) -> str:
        """The text that was sent."""
        return "".join(item for item in self.emitted if isinstance(item, str))

    @property
    def calls(self) -> list[tuple[str, str]]:
        """The calls' names and arguments; each must have an id of its own."""
        calls = self.step.calls
        assert len({call.call_id for call in calls}) == len(calls)
        assert all(call.call_id for call in calls)
        return [(call.tool, call.arguments) for call in calls]
