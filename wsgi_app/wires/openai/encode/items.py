"""The output items of a response, and the stream events that bring each of them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsgi_app.events import InputRequest, ToolCall, encode_json
from wsgi_app.frames.sse import frame

Item = dict[str, Any]

#: The name of the open call that stands for a question of the agent.
ASK_USER: Final = "ask_user"


class StreamEvent(NamedTuple):
    """One event of a response's stream."""

    number: int
    kind: str
    fields: Item

    def json(self) -> bytes:
        """Its JSON."""
        head = {"type": self.kind, "sequence_number": self.number}
        return encode_json(head | self.fields)

    def frame(self) -> bytes:
        """Its SSE frame."""
        return frame(self.json(), event=self.kind)


class TextKind(NamedTuple):
    """How items that hold text are written, and the events of their one part."""

    prefix: str
    #: The item's own fields.
    fields: Item
    parts: str
    index_name: str
    part_type: str
    part_fields: Item
    part_added: str
    delta: str
    done: str
    part_done: str
    #: Further fields of the events that bring text.
    more: Item

    def item(self, item_id: str, status: str, part: Item | None) -> Item:
        """The item, with its part if it has it."""
        parts = [] if part is None else [part]
        return {"id": item_id, **self.fields, "status": status, self.parts: parts}

    def part(self, text: str, notes: list[Item] | None = None) -> Item:
        """The part that holds its text, and what is noted of it."""
        noted = {"annotations": notes} if notes else {}
        return {"type": self.part_type, "text": text, **self.part_fields, **noted}


MESSAGE: Final = TextKind(
    prefix="msg",
    fields={"type": "message", "role": "assistant"},
    parts="content",
    index_name="content_index",
    part_type="output_text",
    part_fields={"annotations": [], "logprobs": []},
    part_added="response.content_part.added",
    delta="response.output_text.delta",
    done="response.output_text.done",
    part_done="response.content_part.done",
    more={"logprobs": []},
)
REASONING: Final = TextKind(
    prefix="rs",
    fields={"type": "reasoning"},
    parts="summary",
    index_name="summary_index",
    part_type="summary_text",
    part_fields={},
    part_added="response.reasoning_summary_part.added",
    delta="response.reasoning_summary_text.delta",
    done="response.reasoning_summary_text.done",
    part_done="response.reasoning_summary_part.done",
    more={},
)


def open_call(item_id: str, call_id: str, name: str, arguments: str) -> Item:
    """A call that the client should run; while it has no ``arguments``, it is in progress."""
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed" if arguments else "in_progress",
    }


def call_arguments(event: ToolCall | InputRequest) -> str:
    """A call's arguments, as JSON."""
    if isinstance(event, ToolCall):
        return encode_json(event.input).decode()
    schema = {} if not isinstance(event.schema, dict) else {"schema": event.schema}
    return encode_json({"prompt": event.prompt, **schema}).decode()
