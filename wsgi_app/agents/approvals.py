"""A framework's approval of a tool call as a question to the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wsgi_app.agents.tools import AnyTool, CallRefused, CallRequest, Tool
from wsgi_app.engine import Turn

#: A question shows no more of a call's arguments.
MAX_SHOWN_CHARS: Final = 500
#: What an approval's answer looks like; a client without a form may send text.
APPROVAL_SCHEMA: Final[dict[str, Any]] = {"type": "boolean"}


def approval_schema(call_id: str) -> dict[str, Any]:
    """What the answer to an approval of this call looks like."""
    return {**APPROVAL_SCHEMA, "x-call-id": call_id}


_YES: Final = frozenset({"yes", "y", "true", "ok", "allow", "approve"})


def approval_prompt(tool: str, arguments: str) -> str:
    """The question for one call; ``arguments`` is their JSON."""
    return f"Allow {shown_call(tool, arguments)}?"


def shown_call(tool: str, arguments: str) -> str:
    """A call as people read it, its arguments cut where they are long."""
    if len(arguments) > MAX_SHOWN_CHARS:
        arguments = f"{arguments[:MAX_SHOWN_CHARS]}…"
    return f"{tool}({arguments})"


def is_approval(answer: Any) -> bool:
    """Whether the answer is a yes; whatever else was sent is a no."""
    if isinstance(answer, str):
        return answer.strip().lower() in _YES
    return answer is True


def refusal_reason(answer: Any) -> str | None:
    """What the user wrote instead of a yes, for the model; None for a plain no."""
    text = answer.strip() if isinstance(answer, str) else ""
    return None if text.lower() in {"", "no", "n", "false"} else text


def approve(
    tool: AnyTool | Callable[..., Any], *, timeout_seconds: float | None = None
) -> ApprovedTool:
    """A tool that asks the user before each call; ``timeout_seconds`` as for `Tool`.

    The answer ``true`` lets it run. Anything else refuses; a text is told to the model as why.
    """
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

    def prepare(self, turn: Turn, call: CallRequest) -> Callable[[], Any]:
        """See `AnyTool.prepare`: bad arguments are refused before anybody is asked."""
        run = self._tool.prepare(turn, call)
        return lambda: self._run(turn, call, run)

    def _run(self, turn: Turn, call: CallRequest, run: Callable[[], Any]) -> Any:
        answer = turn.ask(approval_prompt(self.name, call.arguments), approval_schema(call.call_id))
        if is_approval(answer):
            return run()
        reason = refusal_reason(answer)
        raise CallRefused("the user did not allow this call" + (f": {reason}" if reason else ""))
