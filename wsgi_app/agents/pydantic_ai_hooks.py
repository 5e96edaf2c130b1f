"""What a run of Pydantic AI calls on its way: questions, the ends of answers, and its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai import (
    DeferredToolRequests,
    DeferredToolResults,
    ModelResponse,
    RunContext,
    ThinkingPart,
    ToolCallPart,
    ToolDenied,
)
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_graph import End

from wsgi_app.agents.answer_end import check_end
from wsgi_app.agents.approvals import (
    approval_prompt,
    approval_schema,
    is_approval,
    refusal_reason,
)
from wsgi_app.agents.pydantic_ai_end import calls_of, end_of, reports_end
from wsgi_app.agents.pydantic_ai_steps import RunSteps
from wsgi_app.agents.shown_call import shown_call
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import as_text
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.events import RequestedCall


class Hooks(AbstractCapability[Any]):
    """Asks the user what the run waits for, and sees to its end.

    Used by tasks of the ``agents`` loop.
    """

    def __init__(self, turn: Turn, steps: RunSteps, max_requests: int | None) -> None:
        self._turn = turn
        self._clients = {tool.name for tool in turn.client_tools}
        self._max_requests = max_requests
        self._steps = steps
        self._has_spoken = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def get_ordering(self) -> CapabilityOrdering:
        """Ask last: the agent's own handlers go first."""
        return CapabilityOrdering(position="innermost")

    async def wrap_run(self, ctx: Any, *, handler: Callable[[], Any]) -> Any:  # noqa: ARG002 - Pydantic AI's signature
        """Note the task that stands around the run."""
        self._note_task()
        return await handler()

    async def before_model_request(self, ctx: RunContext[Any], request_context: Any) -> Any:
        """Hand on what the user has said since the last request.

        Nobody could answer what comes during the last one. What comes before the first waits.
        """
        is_last = self._max_requests is not None and ctx.usage.requests >= self._max_requests - 1
        if ctx.usage.requests or is_last:
            self._hand_on(ctx, self._turn.steered(last=is_last))
        return request_context

    async def after_node_run(self, ctx: RunContext[Any], *, node: Any, result: Any) -> Any:
        """Have the run continue with what the user has said meanwhile, where it would end."""
        del node
        if isinstance(result, End) and not self._turn.may_end():
            self._hand_on(ctx, self._turn.steered())
            if self._has_spoken:
                self._turn.emit("\n\n")
        return result

    @staticmethod
    def _hand_on(ctx: RunContext[Any], texts: Sequence[str]) -> None:
        for text in texts:
            ctx.enqueue(text)

    async def wrap_model_request(
        self,
        ctx: Any,  # noqa: ARG002 - the same
        *,
        request_context: Any,
        handler: Callable[[Any], Any],
    ) -> Any:
        """Note the task that holds a model's answer open, and check how that ends."""
        self._note_task()
        response = await handler(request_context)
        if reports_end(request_context.model):
            self._check_end(response)
        return response

    def _check_end(self, response: ModelResponse) -> None:
        """Check how a model's answer has ended, see `answer_end`; raises UpstreamError."""
        has_text = any(not isinstance(part, ThinkingPart) for part in response.parts)
        self._has_spoken = self._has_spoken or has_text
        check_end(
            end_of(response),
            has_text=has_text,
            has_spoken=self._has_spoken,
            calls=calls_of(response),
            emit=self._turn.emit,
        )

    def _note_task(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)

    async def end_tasks(self) -> None:
        """End what the run has left.

        A cancel in the moment in which Pydantic AI has such a task begun leaves it waiting for
        ever, the connection to the provider with it.
        """
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: Any,  # noqa: ARG002 - the same
        args: Any,
        handler: Callable[[Any], Any],
    ) -> Any:
        """Run a call, unless another worker has; see `StepsOfCalls`."""
        return await self._steps.run(ctx, call, lambda: handler(args))

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        """Ask the client for the calls of its tools, and the user for each other one."""
        await self._steps.begin(ctx, [call.tool_call_id for call in requests.approvals])
        results = DeferredToolResults()
        for call in requests.approvals:
            results.approvals[call.tool_call_id] = await self._ask_approval(call)
        theirs = [call for call in requests.calls if call.tool_name in self._clients]
        asked = [
            RequestedCall(call.tool_call_id, call.tool_name, _arguments_of(call)) for call in theirs
        ]
        for result in await self._turn.call_client_async(asked) if asked else ():
            results.calls[result.call_id] = as_text(result.output)
        for call in requests.calls:
            if call in theirs:
                continue
            prompt = f"What is the result of {_shown(call)}?"
            results.calls[call.tool_call_id] = await self._turn.ask_async(prompt)
        return results

    async def _ask_approval(self, call: ToolCallPart) -> bool | ToolDenied:
        prompt = approval_prompt(call.tool_name, call.args_as_json_str())
        answer = await self._turn.ask_async(prompt, approval_schema(call.tool_call_id))
        if is_approval(answer):
            return True
        return ToolDenied(refusal_reason(answer) or "The user did not allow this call.")


def _arguments_of(call: ToolCallPart) -> dict[str, Any]:
    return parse_object(call.args_as_json_str()) or {}


def _shown(call: ToolCallPart) -> str:
    return shown_call(call.tool_name, call.args_as_json_str())
