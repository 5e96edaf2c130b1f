"""AG-UI 1.0: what sub-agents do, each under a ``subagentRunId``.

The client wants each of them begun once and ended before its run, with nothing left open; one that
goes on in another run begins again there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wsgi_app.events import Nested, Status, Thinking, Token, ToolCall, ToolResult, encode_json

#: Sends a frame of this kind.
Put = Callable[..., None]
#: The name of what begins with the event of this seq.
Name = Callable[[str, int], str]


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
            lane.add_call(call_id, event)
            self._calls[event.call_id] = (call_id, lane.id)
        elif isinstance(event, ToolResult):
            self.end_call(event.call_id, event)
            known = self._calls.pop(event.call_id, None)
            if known is not None:
                lane.add_result(known[0], event)
        elif isinstance(event, Status):
            lane.put("CUSTOM", name="status", value={"content": event.content})

    def _begin(self, nested: Nested, seq: int) -> _Lane:
        lane = _Lane(self._put, self._name, self._name("sub", seq))
        call_id, owner = self._calls.get(nested.parent, ("", ""))
        places = {
            "parentToolCallId": call_id or self._own_calls.get(nested.parent, ""),
            # One of another run is unknown to the client in this one.
            "parentSubagentRunId": owner if any(one.id == owner for one in self._open()) else "",
        }
        lane.put("SUBAGENT_STARTED", name=nested.agent, **{k: v for k, v in places.items() if v})
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


class _Lane:
    """What one sub-agent does, in order."""

    def __init__(self, put: Put, name: Name, lane_id: str) -> None:
        self.id = lane_id
        self._put = put
        self._name = name
        self._kind: type[Token | Thinking] | None = None
        self._message = ""  # that is open
        self._parent: str | None = None  # the message that the next call belongs to

    def put(self, kind: str, **fields: Any) -> None:
        """Send a frame of this sub-agent's."""
        self._put(kind, **fields, subagentRunId=self.id)

    def add_text(self, event: Token | Thinking, seq: int) -> None:
        """Say or think more."""
        if not event.content:
            return
        if self._kind is not type(event):
            self._close_text()
            self._open_text(type(event), seq)
        kind = "TEXT_MESSAGE" if self._kind is Token else "REASONING_MESSAGE"
        self.put(f"{kind}_CONTENT", messageId=self._message, delta=event.content)

    def _open_text(self, kind: type[Token | Thinking], seq: int) -> None:
        self._kind = kind
        self._message = self._name("msg" if kind is Token else "think", seq)
        if kind is Token:
            self._parent = self._message
            self.put("TEXT_MESSAGE_START", messageId=self._message, role="assistant")
        else:
            self.put("REASONING_START", messageId=self._message)
            self.put("REASONING_MESSAGE_START", messageId=self._message, role="reasoning")

    def _close_text(self) -> None:
        if self._kind is Token:
            self.put("TEXT_MESSAGE_END", messageId=self._message)
        elif self._kind is Thinking:
            self.put("REASONING_MESSAGE_END", messageId=self._message)
            self.put("REASONING_END", messageId=self._message)
        self._kind = None

    def add_call(self, call_id: str, event: ToolCall) -> None:
        """Call a tool."""
        self._close_text()
        parent = {} if self._parent is None else {"parentMessageId": self._parent}
        self.put("TOOL_CALL_START", toolCallId=call_id, toolCallName=event.tool, **parent)
        self.put("TOOL_CALL_ARGS", toolCallId=call_id, delta=encode_json(event.input).decode())
        self.put("TOOL_CALL_END", toolCallId=call_id)
        # Without a message of its own the client names one after the call.
        self._parent = self._parent or call_id

    def add_result(self, call_id: str, event: ToolResult) -> None:
        """Have a tool's result."""
        self._close_text()
        self._parent = None
        output = event.output
        content = output if isinstance(output, str) else encode_json(output).decode()
        message = call_id.replace("call", "result", 1)
        self.put("TOOL_CALL_RESULT", messageId=message, toolCallId=call_id, content=content)

    def end(self, failed: str = "", outcome: dict[str, Any] | None = None) -> None:
        """Come to the end of it, or of its part of the run."""
        self._close_text()
        if failed:
            self.put("SUBAGENT_ERROR", message=failed)
        else:
            self.put("SUBAGENT_FINISHED", **({} if outcome is None else {"outcome": outcome}))
