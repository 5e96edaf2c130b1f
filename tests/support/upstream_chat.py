"""The scripted provider's answers as ``POST /v1/chat/completions`` streams them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tests.support.upstream_script import Reasoning, ToolCalls, Usage, chunk


class ChatShape:
    """Gives the bytes of each step's events. Used by the server's loop alone."""

    #: What every chunk has besides.
    fields: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, body: dict[str, Any]) -> None:
        self._wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._finish_reason = "stop"

    def text(self, token: str) -> bytes:
        """A piece of the answer."""
        return self._delta({"content": token})

    def reasoning(self, token: str, step: Reasoning) -> bytes:
        """A piece of the reasoning."""
        return self._delta({step.field: token})

    def tool_calls(self, step: ToolCalls) -> Iterator[bytes]:
        """The calls' fragments, which take turns between the calls."""
        self._finish_reason = "tool_calls"
        for index, call in enumerate(step.calls):
            function = {"name": call.name, "arguments": ""}
            fragment = {"index": index, "id": call.id, "type": "function", "function": function}
            yield self._delta({"tool_calls": [fragment]})
        longest = max(len(call.arguments) for call in step.calls)
        for start in range(0, longest, step.fragment_chars):
            for index, call in enumerate(step.calls):
                text = call.arguments[start : start + step.fragment_chars]
                if text:
                    fragment = {"index": index, "function": {"arguments": text}}
                    yield self._delta({"tool_calls": [fragment]})

    def end(self, reason: str | None, usage: Usage | None) -> bytes:
        """What follows the last step."""
        events = self._event(chunk({}, reason or self._finish_reason))
        if usage is not None and self._wants_usage:
            events += self._event({**chunk({}), "choices": [], "usage": _counts(usage)})
        return events + b"data: [DONE]\n\n"

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._event(chunk(delta))

    def _event(self, value: dict[str, Any]) -> bytes:
        return f"data: {json.dumps({**value, **self.fields})}\n\n".encode()


def _counts(usage: Usage) -> dict[str, int]:
    given, taken = usage.input_tokens, usage.output_tokens
    return {"prompt_tokens": given, "completion_tokens": taken, "total_tokens": given + taken}
