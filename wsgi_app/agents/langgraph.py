"""Hosts a compiled LangGraph graph as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError

from wsgi_app.agents.content_parts import langchain_content
from wsgi_app.agents.langgraph_callbacks import ModelCallbacks
from wsgi_app.agents.langgraph_client import GraphClient, as_actions, as_functions
from wsgi_app.agents.langgraph_memory import (
    AnyGraph,
    as_messages,
    marks,
)
from wsgi_app.agents.langgraph_run import GraphRun
from wsgi_app.agents.langgraph_saver import with_async_calls
from wsgi_app.agents.langgraph_steps import GraphSteps, tool_names, with_steps
from wsgi_app.agents.langgraph_stream import GraphStream
from wsgi_app.agents.langgraph_subgraphs import NestedStream
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.steps_of_calls import StepsOfCalls, checked_on_crash
from wsgi_app.agents.tools import OnCrash
from wsgi_app.agents.upstream_errors import describe
from wsgi_app.engine import Turn, current_turn
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.valid_messages import fold_system
from wsgi_app.errors import TurnError

__all__ = ["LangGraphAgent", "client_tools"]

log = logging.getLogger("wsgi_app")

#: The key of a state in which CopilotKit's graphs look for the client's tools.
_COPILOTKIT: Final = "copilotkit"


def client_tools() -> list[dict[str, Any]]:
    """The tools of the turn's client, for ``model.bind_tools([*own, *client_tools()])``.

    For the nodes of a graph, see ``client_tools`` of `LangGraphAgent`; empty outside of a turn.
    """
    try:
        return as_functions(current_turn().client_tools)
    except LookupError:
        return []


class LangGraphAgent:
    """Answers with a graph: what ``compile()``, ``create_agent`` or ``create_react_agent`` gave.

    ``config``: a RunnableConfig for each run. ``context``: makes from the turn what nodes and tools
    get as ``runtime.context``; without it that is the `Turn`, unless the graph has a schema for it.
    ``make_input``: makes the graph's input from the turn and its chat messages, for a graph whose
    state has no ``messages``. ``subgraphs``: whether what graphs that are nodes say goes to the
    user as they write it: True for the turn's own text, "nested" for that of sub-agents.

    A graph without a checkpointer gets the host's history. One with a checkpointer remembers by
    itself: it gets the new message, and of the history what it does not know. Its thread stays
    until the session is deleted. ``thread_id`` names it, `SessionName.thread_id` if not given.
    A turn whose client keeps the conversation writes nothing to the checkpointer. What
    ``interrupt()`` or a breakpoint asks becomes a question of the turn. AGENT_MAX_STEPS is the
    recursion limit of a graph that has none.

    ``resume``: with Redis, another worker continues a turn whose worker dies, from the newest
    checkpoint of its thread, if the checkpointer is one that they share. A step is in the
    checkpointer before the next one begins then. A node that was not finished runs again, as ever
    in LangGraph, but no finished call of a tool node. ``on_crash``: what happens to a call in
    flight, by the tool's name, see `Tool`.

    ``client_tools``: the graph's model is offered the tools that the turn's client runs, by
    `client_tools` or by ``ClientTools`` of `wsgi_app.agents.langchain`; a graph whose state has
    ``copilotkit`` finds them there. A tool node, or the end of the graph, hands their calls to the
    client. ``headless_tools``: tools of the graph's own that interrupt with ``{"type": "tool",
    "tool_call": …}`` for the client to run.

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
        subgraphs: bool | Literal["nested"] = False,
        thread_id: Callable[[SessionName], str] = lambda session: session.thread_id,
        resume: bool = True,
        on_crash: Mapping[str, OnCrash] | None = None,
        client_tools: bool = False,
        headless_tools: Collection[str] = (),
    ) -> None:
        self._offers = client_tools or _COPILOTKIT in graph.channels
        self._headless = frozenset(headless_tools)
        self._config = config
        self._context = context
        self._make_input = make_input
        if subgraphs not in (True, False, "nested"):
            raise ValueError(f'subgraphs is True, False or "nested": {subgraphs!r}')
        self._subgraphs = subgraphs
        self._thread_id = thread_id
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._is_lasting = False
        self._resume = resume
        self._on_crash = checked_on_crash(on_crash)
        self._graph = graph = with_steps(graph)
        if isinstance(graph.checkpointer, BaseCheckpointSaver):
            # What one in a process's memory knows may be of an earlier session of the name.
            self._is_lasting = not isinstance(graph.checkpointer, InMemorySaver)
            self._saver = with_async_calls(graph.checkpointer)
            self._graph = graph.copy({"checkpointer": self._saver})

    #: Whether its model is shown what came with a message.
    takes_attachments = True

    @property
    def takes_steering(self) -> bool:
        """Whether it looks for what the user says while a turn runs: its state has messages."""
        return self._make_input is None and "messages" in self._graph.channels

    @property
    def takes_client_tools(self) -> bool:
        """Whether its model may call tools of a turn's client."""
        return self._offers or bool(self._headless)

    @property
    def tool_names(self) -> list[str]:
        """The names that no tool of a client's may have."""
        return sorted(tool_names(self._graph) - self._headless)

    @property
    def resumes(self) -> bool:
        """Whether turns of other workers are continued."""
        return self._resume and self._is_lasting

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the provider fails, TurnError with code ``step_limit``.
        """
        if self._saver is None or turn.ephemeral:
            await answer_in_context(turn, lambda: self._try(turn))
        else:
            await self._try(turn)  # what the graph remembers is its own

    async def forget_session(self, session: SessionName) -> None:
        """Delete the session's thread, for good."""
        if self._saver is not None:
            await self._saver.adelete_thread(self._thread_id(session))

    async def _try(self, turn: Turn) -> None:
        callbacks = ModelCallbacks(turn)
        message_id = turn.key_of("message")
        config = self._config_for(turn, callbacks, message_id)
        try:
            stream_type = NestedStream if self._subgraphs == "nested" else GraphStream
            with stream_type(turn, callbacks) as stream:
                await self._answer(turn, config, stream, message_id)
            callbacks.report_cut()
        except GraphRecursionError as error:
            limit = config["recursion_limit"]
            raise TurnError(
                f"The graph needs more than {limit} steps.", {"max_steps": limit}, code="step_limit"
            ) from error
        except Exception as error:
            failure = callbacks.as_upstream_error(error)
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
        remembers = self._saver is not None and not turn.ephemeral
        if not remembers:
            # Holds the state while the turn waits for an answer, and goes with the turn.
            graph, options = graph.copy({"checkpointer": InMemorySaver()}), {"durability": "exit"}
        calls = StepsOfCalls(turn, self._on_crash, keeps=remembers and self.resumes)
        client = GraphClient(turn, calls, self._headless)
        stream.clients = client.names
        serde = self._saver.serde if self._saver is not None else InMemorySaver().serde
        run = GraphRun(
            turn,
            graph,
            config,
            stream=stream,
            options={
                **options,
                "context": self._context_for(turn),
                "subgraphs": bool(self._subgraphs),
            },
            steps=GraphSteps(turn, calls, graph, serde, client),
        )
        try:
            if turn.attempt > 1 and await run.resume(message_id, lasts=remembers):
                await run.go_on()
                return
            before = await self._recall(turn, run) if remembers else None
            await run.follow(self._input_for(turn, before, message_id))
        except Exception:
            # The message may be what the provider refuses, and would be so in each later turn.
            if remembers and not turn.has_output:
                await run.forget(message_id)
            raise

    def _config_for(self, turn: Turn, callbacks: ModelCallbacks, message_id: str) -> RunnableConfig:
        configurable = {"thread_id": self._thread_id(turn.session)}
        own: RunnableConfig = {
            "configurable": configurable,
            "callbacks": [callbacks],
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

    async def _recall(self, turn: Turn, run: GraphRun) -> list[BaseMessage] | None:
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
        content = langchain_content(turn, message)
        messages = [*before, HumanMessage(content, id=message_id)]
        if self._make_input is not None:
            return self._make_input(turn, messages)
        if _COPILOTKIT not in self._graph.channels:
            return {"messages": messages}
        context = turn.metadata.get("context", [])
        return {
            "messages": messages,
            _COPILOTKIT: {"actions": as_actions(turn.client_tools), "context": context},
        }
