"""Tools that a turn's client runs: what it names, what it is asked, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wsgi_app.events import RequestedCall, ToolRequest, ToolResult
from wsgi_app.nesting import is_shallow

#: The result, for the model, of a call that the client left out.
NOT_GIVEN: Final = "The client gave no result."
#: The same of one that no event can hold.
TOO_DEEP: Final = "The client's result is nested too deep."


def request_of(request_id: str, calls: Sequence[RequestedCall]) -> ToolRequest:
    """The event that asks the client to run ``calls``."""
    names = ", ".join(dict.fromkeys(call.tool for call in calls))
    return ToolRequest(request_id, f"Waiting for {names}.", calls=list(calls))


def results_of(calls: Sequence[RequestedCall], answer: Any) -> list[ToolResult]:
    """The results of ``calls``, in their order; an error for each that is not in the answer.

    ``answer`` is what was posted, which may be anything: it is a list of objects with ``call_id``,
    or ``index`` for the call's place, ``output`` (any JSON value) and ``is_error``.
    """
    found: dict[Any, dict[str, Any]] = {}
    for result in answer if isinstance(answer, list) else ():
        name = result.get("call_id", result.get("index")) if isinstance(result, dict) else None
        if isinstance(name, (str, int)):
            found.setdefault(name, result)
    return [_result(call, found.get(call.call_id, found.get(at))) for at, call in enumerate(calls)]


def _result(call: RequestedCall, found: dict[str, Any] | None) -> ToolResult:
    if found is None:
        return ToolResult(call.tool, call.call_id, NOT_GIVEN, "error")
    output = found.get("output")
    if not is_shallow(output):
        return ToolResult(call.tool, call.call_id, TOO_DEEP, "error")
    if found.get("is_error") is True:
        return ToolResult(call.tool, call.call_id, output, "error")
    return ToolResult(call.tool, call.call_id, output)
