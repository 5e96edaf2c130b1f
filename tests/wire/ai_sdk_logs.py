"""Turns' events that the AI SDK's wire is shown by, and what its client would make of the bytes."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.wire.openai_logs import LOGS as PLAIN
from wsgi_app.events import AnyEvent, Done, InputRequest, Token, ToolCall, ToolResult

MESSAGE: Final = "msg-s-1"
APPROVAL: Final = {"type": "boolean", "x-call-id": "c1"}
_DONE: Final = Done("", "s", "1")
_TWO: Final = (ToolCall("remove", "c1", {"name": "a"}), ToolCall("remove", "c2", {"name": "b"}))

LOGS: Final[dict[str, tuple[AnyEvent, ...]]] = {
    **{name: PLAIN[name] for name in ("text", "tool", "error", "cancel", "question")},
    "approval": (
        Token("So. "),
        _TWO[0],
        InputRequest("q1", "Allow it?", APPROVAL),
        ToolResult("remove", "c1", "removed"),
        Token("Gone."),
        _DONE,
    ),
    "two_approvals": (
        *_TWO,
        InputRequest("q1", "Allow a?", APPROVAL),
        ToolResult("remove", "c1", "removed"),
        InputRequest("q2", "Allow b?", {**APPROVAL, "x-call-id": "c2"}),
        ToolResult("remove", "c2", {"error": "not allowed"}, "error"),
        _DONE,
    ),
    "bare_tool": (ToolCall("clock", "c1", {}), ToolResult("clock", "c1", None), _DONE),
}

_FINISH_REASONS: Final = {"stop", "length", "content-filter", "tool-calls", "error", "other"}
_TOOL_ENDS: Final = {"output-available", "output-error"}


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream, of frames with one data line each; without the last, ``[DONE]``."""
    found = []
    for block in stream.decode().split("\n\n")[:-1]:
        assert block.startswith("data: "), block
        assert "\n" not in block, block
        found.append(block.removeprefix("data: "))
    if found and found[-1] == "[DONE]":
        found.pop()
    return [json.loads(line) for line in found]


class ClientMessage:
    """What ``processUIMessageStream`` builds of chunks, and refuses; used by one thread."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.ended = ""
        self._open: dict[str, dict[str, Any]] = {}
        #: The parts that were there at the last chunk that shows something.
        self._shown: list[dict[str, Any]] = []

    def take(self, stream: bytes) -> ClientMessage:
        """Read a whole stream; its chunks continue the message."""
        for chunk in chunks_of(stream):
            assert None not in [v for k, v in chunk.items() if k not in ("output", "data")], chunk
            self._take(chunk)
        assert not self._open, "a text was left open"
        return self

    @property
    def running(self) -> list[dict[str, Any]]:
        """The calls that a page shows as running, and the questions that it asks."""
        return [p for p in self.parts if p.get("state", "output-error") not in _TOOL_ENDS]

    @property
    def sends_itself(self) -> bool:
        """Whether a front end that sends what is complete would send this message again."""
        starts = [i for i, part in enumerate(self._shown) if part["type"] == "step-start"]
        tools = [p for p in self._shown[(starts or [0])[-1] :] if p["type"] == "dynamic-tool"]
        return bool(tools) and all(part["state"] in _TOOL_ENDS for part in tools)

    def _take(self, chunk: dict[str, Any]) -> None:
        kind, _, step = chunk["type"].partition("-")
        if kind in ("text", "reasoning"):
            self._take_text(kind, step, chunk)
        elif kind == "tool":
            self._take_tool(step, chunk)
        elif chunk["type"] == "start-step":
            self.parts.append({"type": "step-start"})
        elif kind in ("finish", "error", "abort") and not step:
            assert chunk.get("finishReason", "stop") in _FINISH_REASONS
            self.ended = kind
        else:
            assert chunk["type"] in ("start", "finish-step") or kind == "data", chunk
        if kind in ("text", "reasoning", "tool", "start"):
            self._shown = self.parts.copy() if chunk["type"] != "start-step" else self._shown

    def _take_text(self, kind: str, step: str, chunk: dict[str, Any]) -> None:
        if step == "start":
            assert chunk["id"] not in self._open
            self._open[chunk["id"]] = {"type": kind, "text": ""}
            self.parts.append(self._open[chunk["id"]])
        elif step == "delta":
            assert chunk["delta"]
            self._open[chunk["id"]]["text"] += chunk["delta"]
        else:
            del self._open[chunk["id"]]

    def _take_tool(self, step: str, chunk: dict[str, Any]) -> None:
        call_id = chunk["toolCallId"]
        if step == "input-available":
            starts = [i for i, part in enumerate(self.parts) if part["type"] == "step-start"]
            in_step = [part.get("call") for part in self.parts[starts[-1] :]]
            assert call_id not in in_step, "two calls of one id in a step"
            tool = {"type": "dynamic-tool", "call": call_id, "tool": chunk["toolName"]}
            self.parts.append({**tool, "state": step})
            return
        part = [p for p in self.parts if p.get("call") == call_id][-1]
        part["state"] = step
        assert step == "approval-request" or chunk["dynamic"] is True
        if step == "output-available":
            part["output"] = chunk["output"]
