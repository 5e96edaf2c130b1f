"""The scripted provider's answers as Anthropic's ``POST /v1/messages`` streams them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.support.upstream_script import Reasoning, ToolCalls, Usage

#: That API's reasons, by the chat API's.
_REASONS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


class MessagesShape:
    """Gives the bytes of each step's events. Used by the server's loop alone."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._model = body.get("model", "claude")
        self._has_begun = False
        #: The content block that is open, and how many there were.
        self._kind = ""
        self._blocks = 0
        self._reason = "end_turn"

    def text(self, token: str) -> bytes:
        """A piece of the answer."""
        block = {"type": "text", "text": ""}
        return self._block(block) + self._delta({"type": "text_delta", "text": token})

    def reasoning(self, token: str, step: Reasoning) -> bytes:
        """A piece of the reasoning."""
        del step  # this API has one name for it
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self._block(block) + self._delta({"type": "thinking_delta", "thinking": token})

    def tool_calls(self, step: ToolCalls) -> Iterator[bytes]:
        """The calls, one after the other, each with the fragments of its arguments."""
        self._reason = "tool_use"
        for call in step.calls:
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            yield self._end_of_block() + self._block(block)
            for start in range(0, len(call.arguments), step.fragment_chars):
                text = call.arguments[start : start + step.fragment_chars]
                yield self._delta({"type": "input_json_delta", "partial_json": text})

    def end(self, reason: str | None, usage: Usage | None) -> bytes:
        """What follows the last step."""
        counts = {"output_tokens": usage.output_tokens if usage else 0}
        if usage:
            counts["input_tokens"] = usage.input_tokens
        stop = {"stop_reason": _REASONS.get(reason or "", self._reason), "stop_sequence": None}
        events = self._begin() + self._end_of_block()
        events += _event("message_delta", delta=stop, usage=counts)
        return events + _event("message_stop")

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
        }
        message |= {"model": self._model, "stop_reason": None, "stop_sequence": None}
        message["usage"] = {"input_tokens": 0, "output_tokens": 0}
        return _event("message_start", message=message)

    def _block(self, block: dict[str, Any]) -> bytes:
        if self._kind == block["type"]:
            return b""
        events = self._begin() + self._end_of_block()
        self._kind = block["type"]
        self._blocks += 1
        return events + _event("content_block_start", index=self._blocks - 1, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._blocks - 1, delta=delta)

    def _end_of_block(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _event("content_block_stop", index=self._blocks - 1)


def _event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()
