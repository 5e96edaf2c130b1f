"""The body of ``POST /v1/responses``."""

from __future__ import annotations

from typing import Annotated, Any, Optional, Union

import msgspec
from msgspec import Meta, Struct

from wsgi_app.events import InputRequest
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
    tool_choice: Any = None

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
        """What the response's document repeats of it; its metadata as far as it is text."""
        metadata = self.metadata or {}
        told = {
            "metadata": {name: v for name, v in metadata.items() if isinstance(v, str)},
            "instructions": self.instructions,
            "previous_response_id": self.previous_response_id,
            "tools": self.tools,
            "tool_choice": self.tool_choice,
        }
        return {name: value for name, value in told.items() if value is not None}

    def has_messages(self) -> bool:
        """Whether there is a message among its items."""
        return any(item.get("type", "message") == "message" for item in self._items())

    def _items(self) -> list[dict[str, Any]]:
        return [{"role": "user"}] if isinstance(self.input, str) else self.input

    def agent_metadata(self) -> dict[str, Any]:
        """What the agent gets as metadata: the client's, and its instructions."""
        told = {} if self.instructions is None else {"instructions": self.instructions}
        return told | (self.metadata or {})


def _question_id(output: dict[str, Any]) -> str:
    """The id of the question that an output is the answer to."""
    call_id = str(output.get("call_id"))
    try:
        return PartRef.parse(call_id).name
    except ValueError:
        return call_id


def answer_value(question: InputRequest, text: str) -> Any:
    """The answer that a call's output gives: what its JSON says, if the agent gave a schema."""
    if not isinstance(question.schema, dict):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
