"""Tools of the page's own: offered with a message, and their results."""

from __future__ import annotations

from collections.abc import Sequence

from wsgi_app.events import ClientTool, ToolRequest, encode_json
from wsgi_app.store.base import SessionKey
from wsgi_app.web.client_tools import checked_tools, takes_tools
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid
from wsgi_app.wires.native.request import CallResult, PageTool
from wsgi_app.wires.shared.questions import events_so_far


def offered(mount: Mount, tools: Sequence[PageTool]) -> tuple[ClientTool, ...]:
    """The tools of a message; raises RequestError where they cannot be offered."""
    if tools and not takes_tools(mount):
        raise invalid("tools", "This agent calls no tools of its client's")
    return checked_tools(mount, [tool.as_client_tool() for tool in tools], invalid)


def give_results(
    mount: Mount, key: SessionKey, request_id: str, results: Sequence[CallResult]
) -> None:
    """Give the turn that waits what its calls came to; raises RequestError."""
    asked = _find(mount, key, request_id)
    if asked is not None:
        _check(asked, results)
    mount.store.post_input(key, request_id, encode_json(list(results)))


def _find(mount: Mount, key: SessionKey, request_id: str) -> ToolRequest | None:
    """What was asked, as far as this worker can see: another one's journal may be behind."""
    state = mount.store.state_of(key)
    for turn in () if state is None else state.active_turns[:1]:
        for numbered in events_so_far(mount, key, turn):
            event = numbered.event
            if isinstance(event, ToolRequest) and event.request_id == request_id:
                return event
    return None


def _check(asked: ToolRequest, results: Sequence[CallResult]) -> None:
    missing = {call.call_id for call in asked.calls}
    for index, result in enumerate(results):
        if result.call_id not in missing:
            raise invalid(f"results.{index}.call_id", "No such call waits for a result")
        missing.remove(result.call_id)
    if missing:
        raise invalid("results", "Expected the result of each call")
