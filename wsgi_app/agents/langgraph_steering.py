"""What the user says to a running graph: it gets it between two of its steps.

LangGraph stops a run before its next step when its `RunControl` says so, and continues from there
with what a `Command` writes into the state. No node is run again, and none that runs is disturbed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.runtime import RunControl

from wsgi_app.agents.langgraph_steps import open_calls
from wsgi_app.engine import Turn
from wsgi_app.events import Steered


class BetweenSteps(RunControl):
    """Stops a run before one of its steps, but for the first, when something waits for the graph.

    Made for each run, by the task that runs it. Subgraphs and nodes ask it too, in tasks and
    threads of their own: they are not to stop, since the tools that they run in would run again.
    """

    def __init__(self, waits: Callable[[], bool]) -> None:
        super().__init__()
        self._waits = waits
        self._task = asyncio.current_task()
        self._is_first = True

    @property
    def drain_requested(self) -> bool:
        """Whether the graph stops now."""
        try:
            is_graphs_own = asyncio.current_task() is self._task
        except RuntimeError:  # a thread's
            return False
        if not is_graphs_own:
            return False
        was_first, self._is_first = self._is_first, False
        return not was_first and self._waits()


class GraphSteering:
    """What one turn's user has said meanwhile. Used by one task on the agents loop."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        steered = (event for event in turn.records.events if isinstance(event, Steered))
        #: How often each text was taken, by which each message has a name of its own.
        self._taken = Counter(event.content for event in steered if event.status == "taken")
        #: What is taken and not in the state.
        self._pending: list[str] = []

    def waits(self) -> bool:
        """Whether there is something for the graph."""
        return bool(self._pending) or self._turn.is_steered

    def take(self) -> HumanMessage:
        """All that waits, as one message: many models refuse two in a row."""
        texts = [*self._pending, *self._turn.steered()]
        self._pending = []
        message = HumanMessage("\n\n".join(texts), id=self._name(texts[0]))
        self._taken.update(texts)
        return message

    def restore(self, messages: Sequence[BaseMessage]) -> None:
        """Take what another worker has written into the state, but nobody could record as taken."""
        if not self._turn.is_steered:
            return
        self._pending = self._turn.steered()
        name = self._name(self._pending[0])
        found = next((str(one.text) for one in messages if one.id == name), None)
        for count in range(len(self._pending), 0, -1):
            if "\n\n".join(self._pending[:count]) == found:
                self._taken.update(self._pending[:count])
                del self._pending[:count]
                break

    def _name(self, text: str) -> str:
        return self._turn.key_of("said", text, self._taken[text])


def accepts_user_message(messages: Sequence[BaseMessage]) -> bool:
    """Whether the user's word may stand behind these messages: an answer, or all of its results."""
    return (
        bool(messages) and not isinstance(messages[-1], HumanMessage) and not open_calls(messages)
    )
