"""Tools of a turn's client beside an agent's own: offered alike, run by the client."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Final, Optional

from wsgi_app.agents.tool_call import CallRefused, CallRequest, PreparedCall
from wsgi_app.agents.toolbox import Toolbox
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.errors import TurnError
from wsgi_app.events import ClientTool, RequestedCall, ToolCall, ToolResult

_NO_ARGUMENTS: Final = {"type": "object", "properties": {}}


class OfferedTool:
    """A client's tool, as a model is shown it; see `AnyTool`."""

    def __init__(self, tool: ClientTool) -> None:
        self.name = tool.name
        self.description = tool.description
        self.parameters: dict[str, Any] = tool.parameters or dict(_NO_ARGUMENTS)

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """Refuse a call that is not for the client: it has no object of arguments."""
        del turn, call
        raise CallRefused("bad arguments: expected a JSON object")


def offered_tools(turn: Turn, taken: Collection[str]) -> list[OfferedTool]:
    """The tools of a turn's client; raises TurnError for a name that another tool has."""
    clashes = sorted({tool.name for tool in turn.client_tools} & set(taken))
    if clashes:
        message = f"The client names tools of the agent's own: {', '.join(clashes)}."
        raise TurnError(message, {"tools": clashes})
    return [OfferedTool(tool) for tool in turn.client_tools]


def run_calls(
    turn: Turn,
    toolbox: Toolbox,
    calls: Sequence[CallRequest],
    begun: Callable[[], None] = lambda: None,
) -> Generator[ToolCall | ToolResult, None, list[ToolResult]]:
    """Run the calls of a step: the agent's own first, then the client's, all at once.

    The answer is in the order of ``calls``. ``begun`` is called before any of them runs.
    """
    names = {tool.name for tool in turn.client_tools}
    requested = [_requested(call, names) for call in calls]
    mine = [call for call, theirs in zip(calls, requested) if theirs is None]
    own = iter((yield from toolbox.run(turn, mine, begun)))
    asked = [theirs for theirs in requested if theirs is not None]
    given = iter(turn.call_client(asked) if asked else [])
    return [next(own if theirs is None else given) for theirs in requested]


def go_on_calls(
    turn: Turn,
    toolbox: Toolbox,
    calls: Sequence[CallRequest],
    known: Mapping[str, ToolResult],
) -> Generator[ToolResult, None, list[ToolResult]]:
    """Go on with the calls of a step that another worker has begun, see `Toolbox.go_on`.

    What the client was asked it is asked still, if it has not answered, or the worker that is gone
    did not have the answer.
    """
    names = {tool.name for tool in turn.client_tools}
    requested = [_requested(call, names) for call in calls]
    mine = [call for call, theirs in zip(calls, requested) if theirs is None]
    results = {result.call_id: result for result in (yield from toolbox.go_on(turn, mine, known))}
    asked = [theirs for theirs in requested if theirs is not None and theirs.call_id not in known]
    given = {result.call_id: result for result in (turn.call_client(asked) if asked else [])}
    found = {**known, **results, **given}
    return [found[call.call_id] for call in calls]


def _requested(call: CallRequest, names: Collection[str]) -> Optional[RequestedCall]:
    """The call as the client is asked to run it; None for one that is the agent's."""
    arguments = parse_object(call.arguments or "{}")
    if call.tool not in names or arguments is None:
        return None
    return RequestedCall(call.call_id, call.tool, arguments)
