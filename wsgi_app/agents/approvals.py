"""A framework's approval of a tool call as a question to the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from wsgi_app.agents.shown_call import shown_call
from wsgi_app.agents.tool_call import CallRefused, CallRequest, PreparedCall
from wsgi_app.agents.tools import AnyTool, Tool, ToolServer, lane_of, on_crash_of
from wsgi_app.engine import Turn

#: What an approval's answer looks like; a client without a form may send text.
APPROVAL_SCHEMA: Final[dict[str, Any]] = {"type": "boolean"}


def approval_schema(call_id: str) -> dict[str, Any]:
    """What the answer to an approval of this call looks like."""
    return {**APPROVAL_SCHEMA, "x-call-id": call_id}


_YES: Final = frozenset({"yes", "y", "true", "ok", "allow", "approve"})


def approval_prompt(tool: str, arguments: Any) -> str:
    """The question for one call; see `shown_call`."""
    return f"Allow {shown_call(tool, arguments)}?"


def is_approval(answer: Any) -> bool:
    """Whether the answer is a yes; whatever else was sent is a no."""
    if isinstance(answer, str):
        return answer.strip().lower() in _YES
    return answer is True


def refusal_reason(answer: Any) -> str | None:
    """What the user wrote instead of a yes, for the model; None for a plain no."""
    text = answer.strip() if isinstance(answer, str) else ""
    return None if text.lower() in {"", "no", "n", "false"} else text


_Server = TypeVar("_Server", bound=ToolServer)


@overload
def approve(tool: _Server) -> _Server: ...


@overload
def approve(
    tool: AnyTool | Callable[..., Any], *, timeout_seconds: float | None = None
) -> ApprovedTool: ...


def approve(
    tool: AnyTool | ToolServer | Callable[..., Any], *, timeout_seconds: float | None = None
) -> ApprovedTool | ToolServer:
    """A tool that asks the user before each call; ``timeout_seconds`` as for `Tool`.

    Of a server of tools, such as an `McpServer`, each tool asks. The answer ``true`` lets a call
    run. Anything else refuses; the model gets a text as the reason.
    """
    if isinstance(tool, ToolServer):
        return tool.approved()
    if isinstance(tool, AnyTool):
        return ApprovedTool(tool)
    return ApprovedTool(Tool(tool, timeout_seconds=timeout_seconds))


class ApprovedTool:
    """A tool whose calls wait for the user's approval; read by any thread."""

    def __init__(self, tool: AnyTool) -> None:
        self._tool = tool
        self.name = tool.name
        self.description = tool.description
        self.parameters = tool.parameters
        self.lane = lane_of(tool)
        self.on_crash = on_crash_of(tool)
        #: A call whose question has no answer yet has done nothing.
        self.asks_first = True
        self.source = getattr(tool, "source", None)

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """See `AnyTool.prepare`: bad arguments are refused before anybody is asked."""
        prepared = self._tool.prepare(turn, call)
        return PreparedCall(prepared.arguments, lambda: self._run(turn, call, prepared))

    def _run(self, turn: Turn, call: CallRequest, prepared: PreparedCall) -> Any:
        # What the tool gets, not what the model wrote: a key may stand there twice.
        prompt = approval_prompt(self.name, prepared.arguments)
        answer = turn.ask(prompt, approval_schema(call.call_id))
        if is_approval(answer):
            return prepared.run()
        reason = refusal_reason(answer)
        raise CallRefused("the user did not allow this call" + (f": {reason}" if reason else ""))
