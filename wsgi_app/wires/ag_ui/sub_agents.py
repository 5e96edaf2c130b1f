"""AG-UI 1.0: what sub-agents do, each under a ``subagentRunId``.

The client wants each of them begun once and ended before its run, with nothing left open; one that
goes on in another run begins again there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from wsgi_app.events import Nested, Status, Thinking, Token, ToolCall, ToolResult
from wsgi_app.wires.ag_ui.lane import Lane, Name, Put


class SubAgents:
    """The sub-agents of one run; used by one thread."""

    def __init__(self, put: Put, name: Name, calls: Mapping[str, str]) -> None:
        """``calls``: the client's names of the turn's own calls that run."""
        self._put = put
        self._name = name
        self._own_calls = calls
        self._lanes: dict[tuple[str, str], _Lane] = {}
        #: The client's names of their calls, and whose they are, by the agent's ids.
        self._calls: dict[str, tuple[str, str]] = {}

    def take(self, nested: Nested, seq: int) -> None:
        """Report what one does; ``seq``: of its event."""
        key = (nested.parent, nested.agent)
        if key not in self._lanes:
            self._lanes[key] = self._begin(nested, seq)
        lane, event = self._lanes[key], nested.event
        if isinstance(event, (Token, Thinking)):
            lane.add_text(event, seq)
        elif isinstance(event, ToolCall):
            call_id = self._name("call", seq)
            lane.add_call(call_id, event.tool, event.input)
            self._calls[event.call_id] = (call_id, lane.id)
        elif isinstance(event, ToolResult):
            self.end_call(event.call_id, event)
            known = self._calls.pop(event.call_id, None)
            if known is not None:
                lane.add_result(known[0], event.output)
        elif isinstance(event, Status):
            lane.put("CUSTOM", name="status", value={"content": event.content})

    def _begin(self, nested: Nested, seq: int) -> _Lane:
        lane = _Lane(self._put, self._name, self._name("sub", seq))
        call_id, owner = self._calls.get(nested.parent, ("", ""))
        fields = {
            "parentToolCallId": call_id or self._own_calls.get(nested.parent, ""),
            # One of another run is unknown to the client in this one.
            "parentSubagentRunId": owner if any(one.id == owner for one in self._open()) else "",
        }
        lane.put("SUBAGENT_STARTED", name=nested.agent, **{k: v for k, v in fields.items() if v})
        return lane

    def _open(self) -> list[_Lane]:
        return list(self._lanes.values())

    def end_call(self, call_id: str, result: ToolResult) -> None:
        """A call has its result: the sub-agents that worked for it have ended."""
        for key in [key for key in self._lanes if key[0] == call_id]:
            failed = "The sub-agent failed." if result.status == "error" else ""
            self._lanes.pop(key).end(failed)

    def end(self, failed: str = "") -> None:
        """End all that are open: the run ends, or they begin again."""
        for lane in reversed(self._open()):
            lane.end(failed)
        self._lanes.clear()

    def suspend(self, interrupt_id: str) -> None:
        """Leave all that are open: the run ends at a question."""
        outcome = {"type": "suspended", "interruptIds": [interrupt_id]}
        for lane in reversed(self._open()):
            lane.end(outcome=outcome)
        self._lanes.clear()


class _Lane(Lane):
    """What one sub-agent does, in order."""

    def __init__(self, put: Put, name: Name, lane_id: str) -> None:
        self.id = lane_id
        self.put = partial(put, subagentRunId=lane_id)
        super().__init__(self.put, name)

    def end(self, failed: str = "", outcome: dict[str, Any] | None = None) -> None:
        """Come to the end of it, or of its part of the run."""
        self.close_text()
        if failed:
            self.put("SUBAGENT_ERROR", message=failed)
        else:
            self.put("SUBAGENT_FINISHED", **({} if outcome is None else {"outcome": outcome}))
