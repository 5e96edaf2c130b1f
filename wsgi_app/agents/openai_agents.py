"""An agent of the OpenAI Agents SDK, hosted as it is."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Final, cast

from agents import (
    Agent,
    HandoffOutputItem,
    ModelSettings,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    RunItem,
    Runner,
    RunResultStreaming,
    RunState,
    StreamEvent,
    ToolCallItem,
    ToolCallOutputItem,
    TResponseInputItem,
)
from agents.memory import Session
from agents.run_config import ToolErrorFormatterArgs
from agents.tool import Tool
from agents.tool_context import ToolContext
from pydantic_core import to_jsonable_python

from wsgi_app.agents.answer_end import CUT_OFF
from wsgi_app.agents.approvals import approval_prompt, approval_schema, is_approval, refusal_reason
from wsgi_app.agents.openai_agents_session import MakeSession, opened, prepare, take_out
from wsgi_app.agents.openai_agents_translate import (
    ModelState,
    call_input,
    explain,
    explain_model_failure,
    input_items,
    raw_field,
)
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.tools import describe_error
from wsgi_app.agents.upstream_errors import CUT_OFF_DETAILS, describe, missing_answer
from wsgi_app.compat.python import aclosing
from wsgi_app.engine import SessionName, Turn
from wsgi_app.errors import TurnCancelled, TurnError, UpstreamError
from wsgi_app.events import Status, Thinking, ToolCall, ToolResult, Usage, encode_json

log = logging.getLogger("wsgi_app")

_TEXT: Final = frozenset({"response.output_text.delta", "response.refusal.delta"})
_THINKING: Final = frozenset(
    {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
)
#: Calls that ran at the provider: the SDK streams no result of them.
_HOSTED: Final = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "web_search_call",
    }
)


class AgentsSdkAgent:
    """Answers with an ``agents.Agent``, and with the agents it hands over to.

    ``agent``: the agent as it is. ``context``: makes from the turn what the SDK calls the run's
    context, which tools and guardrails get; without it that is the `Turn`. ``max_turns``: how many
    times models may be asked in one turn, AGENT_MAX_STEPS if not given; needing more ends the turn
    with ``step_limit``. ``run_config``: used as it is. Without one the SDK's tracing, which would
    send prompts to OpenAI, is off, token counts are asked for, and a model that calls an unknown
    tool is told so.

    ``session``: makes a session of the SDK by its id, such as
    ``lambda session_id: SQLiteSession(session_id, "agents.db")``; without it the agent gets the
    host's history. It is made for each turn, and closed behind it if it has ``close()``; what it
    holds stays until the host's session is deleted. A turn whose client keeps the conversation
    has none.

    A tool that needs approval makes a question of the turn: yes runs it, anything else is told to
    the model as the reason why not. Called by any number of turns at once, each in a task on the
    ``agents`` loop; nothing changes after construction.
    """

    def __init__(
        self,
        agent: Agent[Any],
        *,
        context: Callable[[Turn], Any] | None = None,
        max_turns: int | None = None,
        run_config: RunConfig | None = None,
        session: MakeSession | None = None,
    ) -> None:
        self._agent = agent
        self._context = context
        self._max_turns = max_turns
        self._run_config = run_config
        self._session = session

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the provider fails, TurnError for the step limit and for a
        guardrail that says no.
        """
        try:
            if self._session is None or turn.passing:
                await answer_in_context(turn, lambda: self._answer(turn, input_items(turn), None))
            else:
                await self._go_on(turn, self._session)
        except UpstreamError as error:
            log.warning("the model provider failed: %s", describe(error))
            raise

    async def forget_session(self, session: SessionName) -> None:
        """Clear the SDK's session, for good."""
        if self._session is not None:
            async with opened(self._session, session.thread_id) as own:
                await own.clear_session()

    async def _go_on(self, turn: Turn, make_session: MakeSession) -> None:
        """Answer a turn of a session that the SDK remembers."""
        async with opened(make_session, turn.session.thread_id) as session:
            await prepare(session, turn)
            try:
                await self._answer(turn, turn.message, session)
            except Exception:
                # The message may be what the provider refuses, and would be so in each later turn.
                if not turn.has_output:
                    await take_out(session, turn.message)
                raise

    async def _answer(
        self, turn: Turn, message: str | list[TResponseInputItem], session: Session | None
    ) -> None:
        max_turns = self._max_turns or turn.max_steps
        format_error = self._run_config.tool_error_formatter if self._run_config else None
        report = _Report(turn, max_turns, format_error)
        run_config = self._make_run_config(report)
        context = self._context(turn) if self._context else turn
        given: str | list[TResponseInputItem] | RunState[Any] = message
        while True:
            result = Runner.run_streamed(
                self._agent,
                given,
                context=context,
                max_turns=max_turns,
                hooks=report,
                run_config=run_config,
                session=session,
            )
            await report.follow(result)
            if not result.interruptions:
                break
            given = await report.ask_approvals(result)
        report.send_output(result.final_output)

    def _make_run_config(self, report: _Report) -> Any:
        if self._run_config is not None:
            return dataclasses.replace(self._run_config, tool_error_formatter=report.note_error)
        # Compatible servers count only when asked to, OpenAI's own always.
        counts = self._agent.model_settings.include_usage
        # A dict: the SDK closes what it makes for the run of none but this or no config at all.
        return {
            "tracing_disabled": True,
            "tool_not_found_behavior": "return_error_to_model",
            "tool_error_formatter": report.note_error,
            "model_settings": ModelSettings(include_usage=True if counts is None else counts),
        }


class _Report(RunHooks[Any]):
    """Tells a turn what its run does. Used by tasks of the ``agents`` loop alone.

    The run streams a tool's result only once all tools of its step have ended. So results are
    taken from the hooks, and wait for their call, which may still be on its way in the stream.
    """

    def __init__(
        self,
        turn: Turn,
        max_turns: int,
        format_error: Callable[[ToolErrorFormatterArgs[Any]], Any] | None,
    ) -> None:
        self._turn = turn
        self._max_turns = max_turns
        self._format_error = format_error
        self._called: dict[str, str] = {}
        self._early: dict[str, ToolResult] = {}
        self._finished: set[str] = set()
        self._errors: dict[str, str] = {}
        self._ending: TurnError | None = None
        self._counted = Usage()
        self._model: ModelState = "idle"
        self._has_text = self._has_spoken = False

    async def follow(self, result: RunResultStreaming) -> None:
        """Tell all that the run streams, to its end or its next approval."""
        stream = cast("AsyncGenerator[StreamEvent, None]", result.stream_events())
        try:
            async with aclosing(stream):
                try:
                    async for event in stream:
                        self._take(event)
                except BaseException:
                    result.cancel()  # closing the stream would wait for the run's own end
                    raise
        except Exception as error:
            failure = self._ending or self._explain(error)
            if failure is None or failure is error:
                raise
            if failure.details != CUT_OFF_DETAILS or not self._has_text:
                raise failure from error
            self._turn.emit(Status(CUT_OFF))  # what the SDK takes for an error
        finally:
            self._count(result)

    async def ask_approvals(self, result: RunResultStreaming) -> RunState[Any]:
        """Ask for each call that waits for it; gives what the run resumes from."""
        state = result.to_state()
        for item in result.interruptions:
            prompt = approval_prompt(item.name or "a tool", item.arguments or "{}")
            schema = approval_schema(item.call_id or "")
            answer = await self._turn.ask_async(prompt, schema)
            if is_approval(answer):
                state.approve(item)
                continue
            reason = refusal_reason(answer)
            self._errors[item.call_id or ""] = reason or "The user did not allow this call."
            state.reject(item, rejection_message=reason)
        return state

    def send_output(self, output: Any) -> None:
        """Send the run's output, unless it was streamed as text; raises UpstreamError for none."""
        if output == "" and not self._has_spoken:
            raise missing_answer()
        if output is not None and not self._has_text:
            text = encode_json(to_jsonable_python(output, fallback=str)).decode()
            self._turn.emit(output if isinstance(output, str) else text)

    def _explain(self, error: Exception) -> TurnError | None:
        return explain_model_failure(error, self._model) or explain(error, self._max_turns)

    # -- what the SDK calls

    async def on_llm_start(self, *_: Any) -> None:
        """Note that what fails from now on is the model."""
        self._model = "asked"

    async def on_llm_end(self, *_: Any) -> None:
        """Note that the model has answered."""
        self._model = "idle"

    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: Any, tool: Tool, result: object
    ) -> None:
        """Tell a function tool's result as soon as it is there."""
        del agent
        if self._ending is not None:
            raise self._ending
        if isinstance(context, ToolContext):
            with suppress(TurnCancelled):  # the run is about to be cancelled, too
                self._send_result(context.tool_call_id, tool.name, result)

    async def note_error(self, args: ToolErrorFormatterArgs[Any]) -> str | None:
        """Note why a tool failed; what the model is told is left to the SDK or its user."""
        if isinstance(args.error, TurnError):
            self._ending = args.error
        error = describe_error(args.error) if args.error else args.default_message
        self._errors.setdefault(args.call_id, error)
        message = self._format_error(args) if self._format_error else None
        return await message if inspect.isawaitable(message) else message

    # -- what the run streams

    def _take(self, event: StreamEvent) -> None:
        if event.type == "raw_response_event":
            self._model = "answering"
            self._take_delta(event.data)
        elif event.type == "run_item_stream_event":
            self._take_item(event.item)

    def _take_delta(self, data: Any) -> None:
        if data.type in _TEXT and data.delta:
            self._has_text = self._has_spoken = True
            self._turn.emit(data.delta)
        elif data.type in _THINKING and data.delta:
            self._turn.emit(Thinking(data.delta))

    def _take_item(self, item: RunItem) -> None:
        if isinstance(item, ToolCallItem):
            self._send_call(item)
        elif isinstance(item, ToolCallOutputItem):
            call_id = item.call_id or ""
            self._send_result(call_id, self._called.get(call_id, "tool"), item.output)
        elif isinstance(item, HandoffOutputItem):
            self._turn.emit(Status(f"{item.target_agent.name} takes over."))

    def _send_call(self, item: ToolCallItem) -> None:
        call_id, kind = item.call_id or "", raw_field(item.raw_item, "type")
        if call_id in self._called:
            return
        self._called[call_id] = tool = item.tool_name or str(kind)
        self._turn.emit(ToolCall(tool, call_id, call_input(item.raw_item)))
        if kind in _HOSTED:
            self._send_result(call_id, tool, raw_field(item.raw_item, "output"))
        else:
            self._has_text = False
        if call_id in self._early:
            self._turn.emit(self._early.pop(call_id))

    def _send_result(self, call_id: str, tool: str, output: object) -> None:
        if call_id in self._finished or self._ending is not None:
            return
        self._finished.add(call_id)
        result = ToolResult(tool, call_id, bounded_json(output))
        if call_id in self._errors:
            result = ToolResult(tool, call_id, {"error": self._errors[call_id]}, status="error")
        if call_id in self._called:
            self._turn.emit(result)
        else:
            self._early[call_id] = result

    def _count(self, result: RunResultStreaming) -> None:
        """Add what is new: the SDK's sums hold nested agents, and go on after an approval."""
        usage, seen = result.context_wrapper.usage, self._counted
        self._counted = Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens)
        self._turn.add_usage(
            Usage(
                usage.input_tokens - seen.input_tokens,
                usage.output_tokens - seen.output_tokens,
                usage.total_tokens - seen.total_tokens,
            )
        )
