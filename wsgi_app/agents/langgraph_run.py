"""A turn's way through its graph, from its start or from where another worker has stopped."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained, is_invalid_resume
from langgraph.types import Command, Interrupt, StreamMode
from pydantic import ValidationError

from wsgi_app.agents.langgraph_memory import (
    AnyGraph,
    before_newest,
    is_of_run,
    knows,
    messages_of,
    recall,
    take_out,
)
from wsgi_app.agents.langgraph_questions import ask_breakpoint, ask_interrupts, breakpoint_prompt
from wsgi_app.agents.langgraph_steering import BetweenSteps, GraphSteering, accepts_user_message
from wsgi_app.agents.langgraph_steps import GraphSteps
from wsgi_app.agents.langgraph_stream import GraphStream
from wsgi_app.compat.python import aclosing
from wsgi_app.engine import Turn
from wsgi_app.errors import CannotGoOn

log = logging.getLogger("wsgi_app")

#: Why another worker cannot continue a turn whose client keeps the conversation.
KEPT_NOWHERE: Final = "Nothing of the turn is in the graph's checkpointer: its client keeps it."
_MODES: Final[list[StreamMode]] = ["messages", "updates", "custom"]


class GraphRun:
    """A turn's way through its graph. Used by one task on the agents loop."""

    def __init__(  # noqa: PLR0913 - the parts of a run, named by its one caller
        self,
        turn: Turn,
        graph: AnyGraph,
        config: RunnableConfig,
        *,
        stream: GraphStream,
        options: dict[str, Any],
        steps: GraphSteps,
    ) -> None:
        self.config = config
        #: Where the next run continues from.
        self._begin_at = config
        self._turn = turn
        self._stream = stream
        self._graph = graph
        self._steps = steps
        # A step is not begun before the last one is stored, where another worker may continue.
        self._options = {**options, "durability": "sync"} if steps.keeps else options
        self._modes: list[StreamMode] = list(_MODES)
        if steps.keeps:
            self._modes.append("checkpoints")
        if stream.nests:
            self._modes.append("tasks")
        self._questions: list[Interrupt] | None = []
        self._steering = GraphSteering(turn)

    async def knows_history(self) -> bool:
        """See `knows`."""
        return await knows(self._graph, self.config, self._turn.history)

    async def recall(self) -> list[BaseMessage] | None:
        """See `recall`."""
        return await recall(self._graph, self._begin_at, self._turn.history)

    async def rewind(self) -> bool:
        """Begin before the exchange that the turn replaces; False if nothing is before it."""
        found = await before_newest(self._graph, self.config, self._turn)
        self._begin_at = found or self.config
        return found is not None

    async def forget(self, message_id: str) -> None:
        """See `take_out`."""
        await take_out(self._graph, self.config, message_id)

    async def resume(self, message_id: str, *, lasts: bool) -> bool:
        """Stand where another worker has stopped; False if it has not begun.

        Raises TurnError if that is nowhere to be found.
        """
        if not lasts:
            raise CannotGoOn(KEPT_NOWHERE)
        state = await self._graph.aget_state(self.config, subgraphs=True)
        if not is_of_run(state, message_id):
            self._steps.check_begins()
            return False
        self._steps.show(state, message_id, self._stream)
        self._steering.restore(messages_of(state.values))
        asked = self._turn.records.question
        at_breakpoint = asked is not None and asked.prompt == breakpoint_prompt(state.next)
        waits = bool(state.interrupts) or at_breakpoint
        self._questions = list(state.interrupts) if waits else None
        return True

    async def go_on(self) -> None:
        """Run the graph to its end from there."""
        if self._questions is None:
            await self._run(None)
        await self._follow()

    async def follow(self, given: Any) -> None:
        """Run the graph to its end, through all that it asks."""
        await self._run(given)
        await self._follow()

    async def _follow(self) -> None:
        """Go on until nothing is asked, and nothing that the user has said is left."""
        await self._follow_questions()
        self._stream.emit_answer()
        while self._steering.waits() or not self._turn.may_end():
            message = self._steering.take()
            if self._turn.has_output:
                self._turn.emit("\n\n")
            await self._run({"messages": [message]})
            await self._follow_questions()
            self._stream.emit_answer()

    async def _follow_questions(self) -> None:
        client = self._steps.client
        while True:
            if self._questions:
                with self._turn.records.standing_still():
                    answers = await ask_interrupts(self._turn, client, self._questions)
                await self._run(Command(resume=answers))
            elif self._questions is None:
                results = await self._run_last_calls()
                if not results:
                    return
                await self._run({"messages": results})
            elif await self._may_go_on():
                await self._run(None)
            else:
                return

    async def _run_last_calls(self) -> list[ToolMessage]:
        """The results of the client's calls that the graph has ended with."""
        if not self._turn.client_tools:
            return []
        state = await self._graph.aget_state(self.config)
        with self._turn.records.standing_still():
            return await self._steps.client.run_last(messages_of(state.values))

    async def _run(self, given: Any) -> None:
        """Run the graph until it ends or waits, through all that the user says meanwhile."""
        while True:
            try:
                await self._run_on(given)
            except GraphDrained:
                given = await self._steered_input()
            else:
                return

    async def _steered_input(self) -> Command[Any] | None:
        """What the graph continues with; None where it cannot take it yet."""
        state = await self._graph.aget_state(self.config)
        if not accepts_user_message(messages_of(state.values)):
            return None
        return Command(update={"messages": [self._steering.take()]})

    async def _run_on(self, given: Any) -> None:
        """Run the graph until it ends, waits, or should get what the user says."""
        begin_at, self._begin_at = self._begin_at, self.config
        parts = self._graph.astream(
            given,
            begin_at,
            stream_mode=self._modes,
            control=BetweenSteps(self._steering.waits),
            **self._options,
        )
        try:
            with self._steps.entered():
                async with aclosing(cast("AsyncGenerator[Any, None]", parts)):
                    async for part in parts:
                        await self._take(*part)
        except ValidationError as error:
            if not is_invalid_resume(error):
                raise
            log.info("an answer does not fit its question's schema: it is asked again")
        else:
            self._questions = self._stream.take_interrupts()

    async def _take(self, *part: Any) -> None:
        namespace = part[0] if self._options["subgraphs"] else ()
        if part[-2] != "checkpoints":
            self._stream.take(part[-2], part[-1], namespace)
        elif not namespace:
            await self._steps.take(part[-1])
        elif not self._stream.nests:  # what a sub-agent says counts with its call
            await self._steps.take_inner(part[-1])

    async def _may_go_on(self) -> bool:
        """Whether the user lets the graph continue from a breakpoint, which asks nothing itself."""
        nodes = (await self._graph.aget_state(self.config)).next
        with self._turn.records.standing_still():
            return bool(nodes) and await ask_breakpoint(self._turn, nodes)
