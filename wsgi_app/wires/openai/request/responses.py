"""The body of ``POST /v1/responses``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Optional, Union

import msgspec
from msgspec import Meta, Struct

from wsgi_app.events import encode_json
from wsgi_app.wires.openai.echo import echo_of
from wsgi_app.wires.openai.ids import PartRef, ResponseRef
from wsgi_app.wires.openai.request.messages import (
    Message,
    bad_request,
    output_text,
    read_items,
    split_at_newest,
)

#: A response's stream is read on behind it.
SequenceNumber = Annotated[int, Meta(ge=0, le=10_000_000_000)]
#: So many items of an input are listed at once.
ItemLimit = Annotated[int, Meta(ge=1, le=100)]
#: What is kept of a request beside its turn.
MAX_NOTE_BYTES: Final = 65_536


class ResponseNote(Struct):
    """What a turn keeps of its request: what its documents repeat, and its items if they fit."""

    echo: dict[str, Any]
    items: Optional[list[dict[str, Any]]] = None

    @classmethod
    def read(cls, note: bytes) -> ResponseNote:
        """Read a turn's note, which may be empty."""
        return msgspec.json.decode(note, type=cls) if note else cls({})


def user_item(text: str) -> dict[str, Any]:
    """A text as the item that it stands for."""
    return {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }


class ResponseBody(Struct, kw_only=True):
    """What the host reads of it; all else is meant for models, and ignored."""

    input: Union[str, list[dict[str, Any]]]
    stream: Optional[bool] = None
    background: Optional[bool] = None
    previous_response_id: Optional[str] = None
    instructions: Optional[str] = None
    metadata: Optional[dict[str, Any]] = None
    store: Optional[bool] = None
    conversation: Any = None
    tools: Optional[list[Any]] = None
    # Repeated in the response's document, if they are of their kind.
    tool_choice: Any = None
    max_output_tokens: Any = None
    max_tool_calls: Any = None
    parallel_tool_calls: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    prompt_cache_key: Any = None
    reasoning: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    temperature: Any = None
    text: Any = None
    top_logprobs: Any = None
    top_p: Any = None
    truncation: Any = None

    def read_input(self) -> tuple[list[Message], str]:
        """What came before, and the user's newest message; raises RequestError."""
        if self.conversation is not None:
            raise bad_request("conversation", "Expected previous_response_id instead of it")
        if isinstance(self.input, str):
            return split_at_newest([{"role": "user", "content": self.input}], "input")
        return split_at_newest(read_items(self.input), "input")

    def read_answers(self) -> dict[str, str]:
        """The outputs of calls by the questions' ids; raises RequestError."""
        return {
            _question_id(item): output_text(item, f"input.{index}")
            for index, item in enumerate(self._items())
            if item.get("type") == "function_call_output"
        }

    def answered(self) -> Optional[ResponseRef]:
        """The response whose open call the request answers, by that call's id.

        So do the clients that send the whole conversation each time, whose last item it is.
        """
        if not self.ends_with_answer():
            return None
        try:
            return PartRef.parse(str(self._items()[-1].get("call_id"))).response
        except ValueError:
            return None

    def ends_with_answer(self) -> bool:
        """Whether its last item is the output of a call."""
        return bool(self.input) and self._items()[-1].get("type") == "function_call_output"

    def echo(self) -> dict[str, Any]:
        """What the response's document repeats of it."""
        return echo_of(msgspec.structs.asdict(self))

    def note(self) -> bytes:
        """What is kept of it for those who read the response later; nothing if it is too much."""
        items = self.input if isinstance(self.input, list) else [user_item(self.input)]
        note = encode_json(ResponseNote(self.echo(), items))
        if len(note) > MAX_NOTE_BYTES:
            note = encode_json(ResponseNote(self.echo(), None))
        return note if len(note) <= MAX_NOTE_BYTES else b""

    def has_messages(self) -> bool:
        """Whether there is a message among its items."""
        return any(item.get("type", "message") == "message" for item in self._items())

    def _items(self) -> list[dict[str, Any]]:
        return [{"role": "user"}] if isinstance(self.input, str) else self.input

    def agent_metadata(self) -> dict[str, Any]:
        """What the agent gets as metadata: the client's, and its instructions."""
        metadata = {} if self.instructions is None else {"instructions": self.instructions}
        return metadata | (self.metadata or {})


class CreateFrame(ResponseBody, tag="response.create", tag_field="type", kw_only=True):
    """Begins a response over a WebSocket, or continues one."""


def _question_id(output: dict[str, Any]) -> str:
    """The id of the question that an output is the answer to."""
    call_id = str(output.get("call_id"))
    try:
        return PartRef.parse(call_id).name
    except ValueError:
        return call_id
