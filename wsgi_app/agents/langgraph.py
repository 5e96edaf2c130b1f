"""Hosts a compiled LangGraph graph as it is."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, cast
from uuid import uuid4

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError, is_invalid_resume
from langgraph.types import Command, Interrupt, StreamMode
from pydantic import ValidationError

from wsgi_app.agents.langgraph_memory import (
    AnyGraph,
    as_messages,
    before_newest,
    knows,
    marks,
    recall,
    take_out,
)
from wsgi_app.agents.langgraph_questions import ask_breakpoint, ask_interrupt
from wsgi_app.agents.langgraph_saver import with_async_calls
from wsgi_app.agents.langgraph_stream import GraphStream, ModelWatch
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.upstream_errors import describe
from wsgi_app.compat.python import aclosing
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.valid_messages import fold_system
from wsgi_app.errors import TurnError

log = logging.getLogger("wsgi_app")

_MODES: Final[list[StreamMode]] = ["messages", "updates", "custom"]


class LangGraphAgent:
    """Answers with a graph: what ``compile()``, ``create_agent`` or ``create_react_agent`` gave.

    ``config``: a RunnableConfig for each run. ``context``: makes from the turn what nodes and tools
    get as ``runtime.context``; without it that is the `Turn`, unless the graph has a schema for it.
    ``make_input``: makes the graph's input from the turn and its chat messages, for a graph whose
    state has no ``messages``. ``subgraphs``: whether what subgraphs say goes to the user too.

    A graph without a checkpointer gets the host's history. One with a checkpointer remembers by
    itself: it gets the new message, and of the history what it does not know. Its thread stays
    until the session is deleted. ``thread_id`` names it, `SessionName.thread_id` if not given.
    A turn whose client keeps the conversation writes nothing to the checkpointer. What
    ``interrupt()`` or a breakpoint asks becomes a question of the turn. AGENT_MAX_STEPS is the
    recursion limit of a graph that has none.

    A model that is awaited loses its connection as soon as the turn ends; one that a sync node
    calls, with its next token.

    Called by any number of turns at once, each in a task on the ``agents`` loop; nothing changes
    after construction.
    """

    def __init__(  # noqa: PLR0913 - options, by keyword
        self,
        graph: AnyGraph,
        *,
        config: RunnableConfig | None = None,
        context: Callable[[Turn], Any] | None = None,
        make_input: Callable[[Turn, list[BaseMessage]], Any] | None = None,
        subgraphs: bool = False,
        thread_id: Callable[[SessionName], str] = lambda session: session.thread_id,
    ) -> None:
        self._config = config
        self._context = context
        self._make_input = make_input
        self._subgraphs = subgraphs
        self._thread_id = thread_id
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._is_lasting = False
        self._graph = graph
        if isinstance(graph.checkpointer, BaseCheckpointSaver):
            # What one in a process's memory knows may be of an earlier session of the name.
            self._is_lasting = not isinstance(graph.checkpointer, InMemorySaver)
            self._saver = with_async_calls(graph.checkpointer)
            self._graph = graph.copy({"checkpointer": self._saver})

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the provider fails, TurnError with code ``step_limit``.
        """
        if self._saver is None or turn.passing:
            await answer_in_context(turn, lambda: self._try(turn))
        else:
            await self._try(turn)  # what the graph remembers is its own

    async def forget_session(self, session: SessionName) -> None:
        """Delete the session's thread, for good."""
        if self._saver is not None:
            await self._saver.adelete_thread(self._thread_id(session))

    async def _try(self, turn: Turn) -> None:
        watch = ModelWatch(turn)
        message_id = str(uuid4())
        config = self._config_for(turn, watch, message_id)
        try:
            await self._answer(turn, config, GraphStream(turn, watch), message_id)
            watch.tell_cut()
        except GraphRecursionError as error:
            limit = config["recursion_limit"]
            raise TurnError(
                f"The graph needs more than {limit} steps.", {"max_steps": limit}, code="step_limit"
            ) from error
        except Exception as error:
            failure = watch.as_upstream_error(error)
            if failure is None:
                raise
            if failure is not error:
                failure.__cause__ = error
            log.warning("the model provider failed: %s", describe(failure))
            raise failure from failure.__cause__

    async def _answer(
        self, turn: Turn, config: RunnableConfig, stream: GraphStream, message_id: str
    ) -> None:
        graph, options = self._graph, {}
        remembers = self._saver is not None and not turn.passing
        if not remembers:
            # Holds the state while the turn waits for an answer, and goes with the turn.
            graph, options = graph.copy({"checkpointer": InMemorySaver()}), {"durability": "exit"}
        run = _Run(
            turn,
            stream,
            graph,
            config,
            {**options, "context": self._context_for(turn), "subgraphs": self._subgraphs},
        )
        try:
            before = await self._recall(turn, run) if remembers else None
            await run.follow(self._input_for(turn, before, message_id))
        except Exception:
            # The message may be what the provider refuses, and would be so in each later turn.
            if remembers and not turn.has_output:
                await run.forget(message_id)
            raise

    def _config_for(self, turn: Turn, watch: ModelWatch, message_id: str) -> RunnableConfig:
        configurable = {"thread_id": self._thread_id(turn.session)}
        own: RunnableConfig = {
            "configurable": configurable,
            "callbacks": [watch],
            "metadata": marks(turn.turn_id, message_id),
        }
        config = merge_configs(self._config, own)
        # Not to be merged, which would drop the limit that is LangChain's default.
        config["recursion_limit"] = turn.max_steps
        for given in (self._graph.config, self._config):
            if given is not None and "recursion_limit" in given:
                config["recursion_limit"] = given["recursion_limit"]
        return config

    def _context_for(self, turn: Turn) -> Any:
        if self._context is not None:
            return self._context(turn)
        return turn if self._graph.context_schema in (None, Turn) else None

    async def _recall(self, turn: Turn, run: _Run) -> list[BaseMessage] | None:
        """What the state needs before the message; None if it holds nothing of the session."""
        if not self._is_lasting and not await run.knows_history():
            await self.forget_session(turn.session)
            return None
        if turn.replaces and not await run.rewind():
            await self.forget_session(turn.session)
        return await run.recall()

    def _input_for(self, turn: Turn, before: list[BaseMessage] | None, message_id: str) -> Any:
        message = turn.message
        if before is None:
            history, message = fold_system(turn.history, message)
            before = as_messages(history)
        messages = [*before, HumanMessage(message, id=message_id)]
        if self._make_input is not None:
            return self._make_input(turn, messages)
        return {"messages": messages}


class _Run:
    """A turn's way through its graph. Used by one task on the agents loop."""

    def __init__(
        self,
        turn: Turn,
        stream: GraphStream,
        graph: AnyGraph,
        config: RunnableConfig,
        options: dict[str, Any],
    ) -> None:
        self.config = config
        #: Where the next run goes on from.
        self._begin_at = config
        self._turn = turn
        self._stream = stream
        self._graph = graph
        self._options = options
        self._questions: list[Interrupt] | None = []

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

    async def follow(self, given: Any) -> None:
        """Run the graph to its end, through all that it asks."""
        while True:
            await self._run(given)
            if self._questions is None:
                return
            if self._questions:
                answers = {q.id: await ask_interrupt(self._turn, q) for q in self._questions}
                given = Command(resume=answers)
            elif await self._may_go_on():
                given = None
            else:
                return

    async def _run(self, given: Any) -> None:
        """Run the graph until it ends or waits."""
        begin_at, self._begin_at = self._begin_at, self.config
        parts = self._graph.astream(given, begin_at, stream_mode=_MODES, **self._options)
        try:
            async with aclosing(cast("AsyncGenerator[Any, None]", parts)):
                async for part in parts:
                    self._stream.take(*part[-2:])
        except ValidationError as error:
            if not is_invalid_resume(error):
                raise
            log.info("an answer does not fit its question's schema: it is asked again")
        else:
            self._questions = self._stream.take_interrupts()

    async def _may_go_on(self) -> bool:
        """Whether the user lets the graph go on from a breakpoint, which asks nothing itself."""
        nodes = (await self._graph.aget_state(self.config)).next
        return bool(nodes) and await ask_breakpoint(self._turn, nodes)
