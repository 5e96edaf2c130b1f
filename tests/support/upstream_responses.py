"""The scripted provider's answers as ``POST /v1/responses`` streams them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any, Final

from tests.support.upstream_script import Call, Reasoning, ToolCalls, Usage

#: The event that ends an answer which was cut, and the reason in it, by the chat API's reason.
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesShape:
    """Gives the bytes of each step's events, with all that belongs around them.

    Used by the server's loop alone.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        #: Makes this answer's ids unlike those of all others.
        self._key = secrets.token_hex(8)
        self._sequence_number = -1
        #: The items that are complete, in their order.
        self._output: list[dict[str, Any]] = []
        self._open: _OpenItem | None = None
        self._events: list[bytes] = []

    def text(self, token: str) -> bytes:
        """A piece of the answer, a message's beginning before the first one."""
        item = self._item("message")
        item.text += token
        place = {"item_id": item.id, "output_index": item.index, "content_index": 0}
        self._add("response.output_text.delta", **place, delta=token, logprobs=[])
        return self._take()

    def reasoning(self, token: str, step: Reasoning) -> bytes:
        """A piece of the reasoning's summary, or of its text where the script says so."""
        item = self._item("reasoning_text" if step.field == "reasoning_text" else "reasoning")
        item.text += token
        place: dict[str, Any] = {"item_id": item.id, "output_index": item.index}
        if item.kind == "reasoning_text":
            self._add("response.reasoning_text.delta", **place, content_index=0, delta=token)
        else:
            name = "response.reasoning_summary_text.delta"
            self._add(name, **place, summary_index=0, delta=token)
        return self._take()

    def tool_calls(self, step: ToolCalls) -> Iterator[bytes]:
        """The calls, one after the other, each with the fragments of its arguments."""
        for call in step.calls:
            yield from self._tool_call(call, step.fragment_chars)

    def end(self, reason: str | None, usage: Usage | None) -> bytes:
        """What follows the last step."""
        self._begin()
        incomplete = _INCOMPLETE.get(reason or "")
        status = "incomplete" if incomplete else "completed"
        self._close_item(status)
        details = {"reason": incomplete} if incomplete else None
        response = self._response(status, output=self._output, usage=usage and _counts(usage))
        self._add(f"response.{status}", response={**response, "incomplete_details": details})
        return self._take()

    def _tool_call(self, call: Call, fragment_chars: int) -> Iterator[bytes]:
        self._begin()
        self._close_item()
        index = len(self._output)
        place = {"item_id": f"fc_{self._key}_{index}", "output_index": index}
        item = {
            "id": place["item_id"],
            "type": "function_call",
            "status": "in_progress",
            "arguments": "",
            "call_id": call.id,
            "name": call.name,
        }
        self._add("response.output_item.added", output_index=index, item=item)
        yield self._take()
        for start in range(0, len(call.arguments), fragment_chars):
            text = call.arguments[start : start + fragment_chars]
            self._add("response.function_call_arguments.delta", **place, delta=text)
            yield self._take()
        done = {**item, "status": "completed", "arguments": call.arguments}
        self._add("response.function_call_arguments.done", **place, arguments=call.arguments)
        self._add("response.output_item.done", output_index=index, item=done)
        self._output.append(done)
        yield self._take()

    def _item(self, kind: str) -> _OpenItem:
        """The item that is being written, begun again if another kind was."""
        self._begin()
        if self._open is None or self._open.kind != kind:
            self._close_item()
            self._open = _OpenItem(kind, self._key, len(self._output))
            for name, fields in self._open.beginning():
                self._add(name, **fields)
        return self._open

    def _close_item(self, status: str = "completed") -> None:
        if self._open is not None:
            for name, fields in self._open.ending(status):
                self._add(name, **fields)
            self._output.append(self._open.value(status))
            self._open = None

    def _begin(self) -> None:
        if self._sequence_number < 0:
            self._add("response.created", response=self._response("in_progress"))
            self._add("response.in_progress", response=self._response("in_progress"))

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        given = {name: self._body.get(name) for name in ("model", "instructions", "reasoning")}
        return {
            "id": f"resp_{self._key}",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": status,
            "error": None,
            "incomplete_details": None,
            **given,
            "metadata": {},
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": self._body.get("store", True),
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": self._body.get("tools", []),
            "top_p": 1.0,
            "usage": None,
            **more,
        }

    def _add(self, name: str, **fields: Any) -> None:
        self._sequence_number += 1
        value = {"type": name, "sequence_number": self._sequence_number, **fields}
        self._events.append(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode())

    def _take(self) -> bytes:
        events, self._events = self._events, []
        return b"".join(events)


class _OpenItem:
    """A message or a reasoning item with one part, and the events around its deltas."""

    def __init__(self, kind: str, key: str, index: int) -> None:
        self.kind = kind
        self.index = index
        self.id = f"{'msg' if kind == 'message' else 'rs'}_{key}_{index}"
        self.text = ""

    def beginning(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events before the first delta."""
        begun = self.value("in_progress")
        begun["summary" if self.kind == "reasoning" else "content"] = []
        yield "response.output_item.added", {"output_index": self.index, "item": begun}
        name = "reasoning_summary_part" if self.kind == "reasoning" else "content_part"
        yield f"response.{name}.added", {**self._place(), "part": self._part("")}

    def ending(self, status: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events behind the last delta."""
        kind, part = self.kind, "content_part"
        done = {"message": "output_text", "reasoning_text": "reasoning_text"}.get(kind)
        if done is None:
            done, part = "reasoning_summary_text", "reasoning_summary_part"
        yield f"response.{done}.done", {**self._place(), "text": self.text}
        yield f"response.{part}.done", {**self._place(), "part": self._part(self.text)}
        item = self.value(status)
        yield "response.output_item.done", {"output_index": self.index, "item": item}

    def value(self, status: str) -> dict[str, Any]:
        """The item itself."""
        part = [self._part(self.text)]
        if self.kind == "message":
            message = {"type": "message", "role": "assistant", "content": part}
            return {"id": self.id, "status": status, **message}
        item: dict[str, Any] = {"id": self.id, "type": "reasoning"}
        if status != "in_progress":
            item["encrypted_content"] = f"encrypted {self.text}"
        if self.kind == "reasoning":
            return {**item, "summary": part}
        return {**item, "summary": [], "content": part}

    def _place(self) -> dict[str, Any]:
        place = {"item_id": self.id, "output_index": self.index}
        return {**place, "summary_index" if self.kind == "reasoning" else "content_index": 0}

    def _part(self, text: str) -> dict[str, Any]:
        if self.kind == "message":
            return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        return {"type": "summary_text" if self.kind == "reasoning" else self.kind, "text": text}


def _counts(usage: Usage) -> dict[str, Any]:
    given, taken = usage.input_tokens, usage.output_tokens
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": taken,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + taken,
    }
