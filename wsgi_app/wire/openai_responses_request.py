"""The body of ``POST /v1/responses``."""

from __future__ import annotations

from typing import Any, Optional, Union

import msgspec
from msgspec import Struct

from wsgi_app.events import InputRequest
from wsgi_app.wire.openai_messages import (
    Message,
    bad_request,
    output_text,
    read_items,
    split_at_newest,
)


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

    def read_input(self) -> tuple[list[Message], str]:
        """What came before, and the user's newest message; raises RequestError."""
        if self.conversation is not None:
            raise bad_request("conversation", "Expected previous_response_id instead of it")
        if isinstance(self.input, str):
            return split_at_newest([{"role": "user", "content": self.input}], "input")
        return split_at_newest(read_items(self.input), "input")

    def read_answers(self) -> dict[str, str]:
        """The outputs of calls by the calls' ids; raises RequestError."""
        if isinstance(self.input, str):
            return {}
        return {
            str(item.get("call_id")): output_text(item, f"input.{index}")
            for index, item in enumerate(self.input)
            if item.get("type") == "function_call_output"
        }

    def has_messages(self) -> bool:
        """Whether there is a message among its items."""
        items = [{}] if isinstance(self.input, str) else self.input
        return any(item.get("type", "message") == "message" for item in items)

    def agent_metadata(self) -> dict[str, Any]:
        """What the agent gets as metadata: the client's, and its instructions."""
        told = {} if self.instructions is None else {"instructions": self.instructions}
        return told | (self.metadata or {})


def answer_value(question: InputRequest, text: str) -> Any:
    """The answer that a call's output gives: what its JSON says, if the agent gave a schema."""
    if not isinstance(question.schema, dict):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
