"""An agent of the OpenAI Agents SDK, hosted as it is."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    RunConfig,
    Runner,
    RunState,
    TResponseInputItem,
)
from agents.memory import Session

from wsgi_app.agents.openai_agents_nested import show_nested_runs
from wsgi_app.agents.openai_agents_report import Report
from wsgi_app.agents.openai_agents_session import (
    MakeSession,
    add_rest,
    opened,
    prepare,
    take_out,
)
from wsgi_app.agents.openai_agents_steering import SdkSteering
from wsgi_app.agents.openai_agents_steps import SdkSteps
from wsgi_app.agents.openai_agents_translate import (
    input_items,
    message_of,
    with_client_tools,
)
from wsgi_app.agents.shorter_history import answer_in_context
from wsgi_app.agents.steps_of_calls import StepsOfCalls, checked_on_crash
from wsgi_app.agents.tools import OnCrash
from wsgi_app.agents.upstream_errors import describe
from wsgi_app.engine import SessionName, Turn
from wsgi_app.errors import UpstreamError

log = logging.getLogger("wsgi_app")


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

    ``resume``: with Redis, another worker continues a turn whose worker dies, from its last
    finished step. ``on_crash``: what happens to a call in flight, by the tool's name, see `Tool`.

    A tool that needs approval makes a question of the turn: yes runs it, anything else goes to
    the model as the reason why not. Called by any number of turns at once, each in a task on the
    ``agents`` loop; nothing changes after construction.
    """

    def __init__(  # noqa: PLR0913 - options, by keyword
        self,
        agent: Agent[Any],
        *,
        context: Callable[[Turn], Any] | None = None,
        max_turns: int | None = None,
        run_config: RunConfig | None = None,
        session: MakeSession | None = None,
        resume: bool = True,
        on_crash: Mapping[str, OnCrash] | None = None,
    ) -> None:
        self._resume = resume
        self._on_crash = checked_on_crash(on_crash)
        self._agent = agent
        self._context = context
        self._max_turns = max_turns
        self._run_config = run_config
        self._session = session
        show_nested_runs()

    #: Whether its model is shown what came with a message.
    takes_attachments = True

    @property
    def takes_steering(self) -> bool:
        """Whether it looks for what the user says while a turn runs.

        A session of the SDK's would not remember it.
        """
        return self._session is None

    #: Whether its model may call tools of a turn's client.
    takes_client_tools = True

    @property
    def tool_names(self) -> list[str]:
        """The names that no tool of a client's may have."""
        return [tool.name for tool in self._agent.tools]

    @property
    def resumes(self) -> bool:
        """Whether turns of other workers are continued."""
        return self._resume

    async def __call__(self, turn: Turn) -> None:
        """Answer a turn.

        Raises UpstreamError when the provider fails, TurnError for the step limit and for a
        guardrail that says no.
        """
        try:
            if self._session is None or turn.ephemeral:
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
            if turn.attempt > 1 and turn.records.recorded:
                # The SDK would ask with what the session holds, and not with what was recorded.
                await add_rest(session, turn, await self._answer(turn, turn.message, None))
                return
            if turn.attempt > 1:
                await take_out(session, turn.message)
            await prepare(session, turn)
            try:
                await self._answer(turn, message_of(turn), session)
            except Exception:
                # The message may be what the provider refuses, and would be so in each later turn.
                if not turn.has_output:
                    await take_out(session, turn.message)
                raise

    async def _answer(
        self, turn: Turn, message: str | list[TResponseInputItem], session: Session | None
    ) -> list[TResponseInputItem]:
        """Run the agent, from where another worker has stopped; gives all items of the run."""
        max_turns = self._max_turns or turn.max_steps
        format_error = self._run_config.tool_error_formatter if self._run_config else None
        others = self._run_config.call_model_input_filter if self._run_config else None
        steering = SdkSteering(turn, max_turns, others)
        steps = SdkSteps(turn, StepsOfCalls(turn, self._on_crash, keeps=self._resume), steering)
        report = Report(turn, max_turns, format_error, steps)
        run_config = self._make_run_config(report, steering)
        context = self._context(turn) if self._context else turn
        first: Agent[Any] = with_client_tools(self._agent, turn)
        agent = first
        given: str | list[TResponseInputItem] | RunState[Any] = message
        if steps.are_left:
            agent, given = await self._take_up(first, steps, report, context)
        behind = steps.answers_before
        while True:
            result = Runner.run_streamed(
                agent,
                given,
                context=context,
                max_turns=max(1, max_turns - behind),
                hooks=report,
                run_config=run_config,
                session=session,
            )
            await report.follow(result)
            if result.interruptions:
                state = result.to_state()
                await steps.wait_for_approvals(state, report.counted)
                given = await report.ask_approvals(state)
                continue
            report.send_output(result.final_output)
            if turn.may_end():
                return result.to_input_list()
            agent, behind = result.last_agent, steering.answers
            given = steering.begin_again(result.to_input_list())
            report.begin_again()

    async def _take_up(
        self, first: Agent[Any], steps: SdkSteps, report: Report, context: Any
    ) -> tuple[Any, Any]:
        """The agent that was at work, and what it continues with."""
        state = await steps.state_of(first, context)
        if state is not None:
            report.counted = steps.counted
            return first, await report.ask_approvals(state)
        agent = steps.agent_of(first)
        return agent, await steps.items_left(agent, context)

    def _make_run_config(self, report: Report, steering: SdkSteering) -> Any:
        if self._run_config is not None:
            return dataclasses.replace(
                self._run_config,
                tool_error_formatter=report.note_error,
                call_model_input_filter=steering,
            )
        # Compatible servers count only when asked to, OpenAI's own always.
        counts = self._agent.model_settings.include_usage
        # A dict: the SDK closes what it makes for the run of none but this or no config at all.
        return {
            "tracing_disabled": True,
            "tool_not_found_behavior": "return_error_to_model",
            "tool_error_formatter": report.note_error,
            "call_model_input_filter": steering,
            "model_settings": ModelSettings(include_usage=True if counts is None else counts),
        }
