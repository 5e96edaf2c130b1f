"""Hosts a compiled AgentFlow graph as it is; needs Python 3.12, as AgentFlow does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import uuid4

import openai
from agentflow.core.exceptions import GraphRecursionError
from agentflow.core.graph.agent_internal.circuit_breaker import CircuitBreakerOpenError
from agentflow.core.graph.compiled_graph import CompiledGraph
from agentflow.core.state import Message
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from agentflow.utils import ResponseGranularity
from agentflow.utils.interrupt import RESUME_KEY

from wsgi_app.agents.agentflow_history import repair, to_message, tool_message
from wsgi_app.agents.agentflow_model import report_models
from wsgi_app.agents.agentflow_stream import GraphStream, Pause
from wsgi_app.agents.approvals import APPROVAL_SCHEMA, is_approval
from wsgi_app.agents.shown_call import shown_call
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.upstream_errors import describe, from_openai, status_error
from wsgi_app.compat.python import aclosing, task_context
from wsgi_app.engine import SessionName, Turn, current_turn
from wsgi_app.engine.turn.history import as_text
from wsgi_app.errors import TurnError, UpstreamError

log = logging.getLogger("wsgi_app")

#: How deep a graph may wrap what went wrong.
_MAX_CAUSES: Final = 10
#: How long the tools of a cancelled turn may take for their ``finally``.
_TOOLS_END_SECONDS: Final = 5.0
#: The packages of other providers than OpenAI; their errors tell a status in one of two ways.
_PROVIDERS: Final = frozenset({"anthropic", "google"})


class AgentFlowAgent:
    """Answers with a compiled AgentFlow graph.

    ``config``: makes from the turn what is added to the config of its runs, and beats it. A graph
    without a checkpointer, which is one with an `InMemoryCheckpointer`, gets the host's history.
    One with another checkpointer remembers by itself, under `SessionName.thread_id`, until the
    session is deleted: it gets the new message, and of the history what it does not know. What
    ``interrupt()`` or a breakpoint asks becomes a question of the turn,
    and so does the result of a remote tool. AGENT_MAX_STEPS is the recursion limit.

    Called by any number of turns at once, each in a task on the ``agents`` loop; nothing changes
    after construction.
    """

    def __init__(
        self,
        graph: CompiledGraph[Any],
        *,
        config: Callable[[Turn], dict[str, Any]] | None = None,
    ) -> None:
        self._graph = graph
        self._config = config

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the provider fails, TurnError with code ``step_limit``.
        """
        # AgentFlow finds its services by the context's container, where another graph's may be.
        container = self._graph._state_graph._container  # noqa: SLF001 - it has no public name
        container.activate()
        run = _Run(turn, self._graph, container.get(BaseCheckpointer), self._config_for(turn))
        try:
            await run.follow()
        except Exception as error:
            failure = run.explain(error)
            if failure is None:
                raise
            if isinstance(failure, UpstreamError):
                log.warning("the model provider failed: %s", describe(failure))
            raise failure  # noqa: B904 - its cause is known, and may be in the error's own chain
        finally:
            await _end_tools(turn)
            await run.forget()

    async def forget_session(self, session: SessionName) -> None:
        """Delete the session's thread, for good."""
        saver = self._graph._state_graph._container.get(BaseCheckpointer)  # noqa: SLF001 - the same
        if type(saver) is not InMemoryCheckpointer:
            await _clear(saver, {"thread_id": session.thread_id, "user_id": session.tenant})

    def _config_for(self, turn: Turn) -> dict[str, Any]:
        return {
            "thread_id": turn.session.thread_id,
            "user_id": turn.tenant,
            "recursion_limit": turn.max_steps,
            **(self._config(turn) if self._config is not None else {}),
        }


class _Run:
    """A turn's way through its graph. Used by one task on the agents loop."""

    def __init__(
        self,
        turn: Turn,
        graph: CompiledGraph[Any],
        saver: BaseCheckpointer[Any],
        config: dict[str, Any],
    ) -> None:
        self._turn = turn
        self._graph = graph
        self._saver = saver
        self._config = config
        self._stream = GraphStream(turn)
        #: Whether the saver is the one that AgentFlow gives a graph which has none.
        self._is_default = type(saver) is InMemoryCheckpointer
        self._forgets = self._is_default or turn.ephemeral
        if self._forgets:
            config["thread_id"] = uuid4().hex

    async def follow(self) -> None:
        """Run the graph to its end, through all that it asks."""
        report_models(self._stream)
        given: dict[str, Any] | None = await self._input()
        while given is not None:
            chunks = self._graph.astream(given, self._config, ResponseGranularity.FULL)
            async with aclosing(chunks):
                async for chunk in chunks:
                    self._stream.take(chunk)
            pause = self._stream.take_pause()
            given = None if pause is None else await self._answer(pause)

    def explain(self, error: Exception) -> TurnError | None:
        """What the turn should end with; None for an error that is the agent's own."""
        causes = list(_causes(error))
        for cause in causes:
            failure = _as_turn_error(cause)
            if failure is not None:
                if failure is not cause:
                    failure.__cause__ = cause
                return failure
        out_of_steps = any(isinstance(cause, GraphRecursionError) for cause in causes)
        # AgentFlow fails while it says so, with an error that says something else.
        if not out_of_steps and not self._stream.is_out_of_steps:
            return None
        limit = self._config["recursion_limit"]
        failure = TurnError(
            f"The graph needs more than {limit} steps.", {"max_steps": limit}, code="step_limit"
        )
        failure.__cause__ = error
        return failure

    async def forget(self) -> None:
        """Take the turn out of the memory that AgentFlow would keep it in for ever."""
        if not self._forgets:
            return
        if not self._is_default:
            await _clear(self._saver, self._config)
            return
        thread_id = self._config["thread_id"]
        for kept in vars(self._saver).values():
            if isinstance(kept, dict):
                for key in [key for key in kept if thread_id in str(key)]:
                    del kept[key]

    async def _input(self) -> dict[str, Any]:
        history = [] if await self._remembers() else self._turn.history
        messages = [*map(to_message, history), Message.text_message(self._turn.message)]
        self._stream.ignore(messages)
        return {"messages": messages}

    async def _remembers(self) -> bool:
        """Whether the saver knows the session; makes its state fit for a new message."""
        if self._forgets:
            return False
        saver, config = self._saver, dict(self._config)
        state = await saver.aget_state_cache(config) or await saver.aget_state(config)
        if state is None:
            return False
        if repair(state, self._turn.history, replaces=self._turn.replaces):
            await saver.aput_state(config, state)
            await saver.aput_state_cache(config, state)
        return True

    async def _answer(self, pause: Pause) -> dict[str, Any] | None:
        """Ask the user; gives the input that resumes the graph, None if it must not continue."""
        if pause.interrupt is not None:
            prompt = _prompt(pause.interrupt)
            schema = pause.interrupt["response_schema"]
            return {RESUME_KEY: await self._turn.ask_async(prompt, schema)}
        if pause.breakpoint_node is not None:
            prompt = f"Go on at {pause.breakpoint_node}?"
            return {} if is_approval(await self._turn.ask_async(prompt, APPROVAL_SCHEMA)) else None
        results = []
        for call in pause.remote_calls:
            shown = shown_call(call.name, call.args)
            output = await self._turn.ask_async(f"What does {shown} give?")
            self._stream.finish(call.id, output)
            results.append(tool_message(call.id, output))
        self._stream.ignore(results)
        return {"messages": results}


async def _clear(saver: BaseCheckpointer[Any], config: dict[str, Any]) -> None:
    await saver.aclear_state(config)
    await saver.aclean_thread(config)


async def _end_tools(turn: Turn) -> None:
    """End the tools of a cancelled turn, which AgentFlow leaves running."""
    tools = [task for task in asyncio.all_tasks() if _is_tool_of(task, turn)]
    for task in tools:
        task.cancel()
    if tools:
        await asyncio.wait(tools, timeout=_TOOLS_END_SECONDS)


def _is_tool_of(task: asyncio.Task[Any], turn: Turn) -> bool:
    name = getattr(task.get_coro(), "__qualname__", "")
    if not name.startswith("StreamNodeHandler."):
        return False
    try:
        return task_context(task).run(current_turn) is turn
    except LookupError:
        return False


def _prompt(interrupt: dict[str, Any]) -> str:
    parts = [interrupt["message"], interrupt["value"]]
    return "\n".join(as_text(bounded_json(part)) for part in parts if part is not None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _as_turn_error(error: BaseException) -> TurnError | None:
    if isinstance(error, TurnError):
        return error
    if isinstance(error, openai.OpenAIError):
        return from_openai(error)
    if isinstance(error, CircuitBreakerOpenError):
        return UpstreamError("The model provider has failed too often in a row.")
    if type(error).__module__.partition(".")[0] in _PROVIDERS:
        status = getattr(error, "status_code", getattr(error, "code", None))
        return status_error(status) if isinstance(status, int) else None
    return None
