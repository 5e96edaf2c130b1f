"""What the user says to a run of the Agents SDK: its models get it with their next request.

The SDK has the input of each request go through a filter of the run's, and keeps nothing of what
that adds. So each message is put in its place again, request by request.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

from agents import TResponseInputItem
from agents.run_config import CallModelData, CallModelInputFilter, ModelInputData

from wsgi_app.engine import Turn
from wsgi_app.engine.turn.call import find_call


class Words(NamedTuple):
    """What was said, and how many items of the run stand before it."""

    items_before: int
    text: str


class SdkSteering:
    """Adds what one turn's user says. Used by tasks of the ``agents`` loop alone."""

    def __init__(self, turn: Turn, max_turns: int, others: CallModelInputFilter | None) -> None:
        self._turn = turn
        self._max_turns = max_turns
        #: What else changes the input.
        self.others = others
        self.words: list[Words] = []
        #: How many of the turn's requests have been answered.
        self.answers = 0

    async def __call__(self, data: CallModelData[Any]) -> ModelInputData:
        """Give what a model should be asked."""
        made = data.model_data
        if find_call() is None:  # agents that are tools have the run's filter too
            self._listen(len(made.input))
            made = ModelInputData(self.put_into(made.input), made.instructions)
        if self.others is None:
            return made
        changed = self.others(CallModelData(made, data.agent, data.context))
        return await changed if inspect.isawaitable(changed) else changed

    def _listen(self, items_before: int) -> None:
        """Take what was said before the next request.

        Nobody could answer what comes during the last one. What comes before the first waits for
        the second: many models refuse two messages of the user's in a row.
        """
        is_last = self.answers >= self._max_turns - 1
        if self.answers or is_last:
            self.words += [Words(items_before, text) for text in self._turn.steered(last=is_last)]

    def put_into(self, items: Sequence[TResponseInputItem]) -> list[TResponseInputItem]:
        """The items with the user's words in their places; those of one place are one message."""
        made: list[TResponseInputItem] = list(items)
        for items_before in sorted({one.items_before for one in self.words}, reverse=True):
            texts = [one.text for one in self.words if one.items_before == items_before]
            made.insert(items_before, _message(texts))
        return made

    def begin_again(self, items: Sequence[TResponseInputItem]) -> list[TResponseInputItem]:
        """What another run continues, behind these items of the last one, as more was said."""
        made = [*self.put_into(items), _message(self._turn.steered())]
        self.words = []
        return made


def _message(texts: Sequence[str]) -> TResponseInputItem:
    """Words of the user's, as an item."""
    return {"type": "message", "role": "user", "content": "\n\n".join(texts)}
