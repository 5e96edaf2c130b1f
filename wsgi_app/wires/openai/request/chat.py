"""The body of ``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from msgspec import Meta, Struct

from wsgi_app.wires.openai.ids import PartRef, ResponseRef
from wsgi_app.wires.openai.request.messages import (
    Message,
    as_text,
    bad_request,
    read_messages,
    split_at_newest,
)


class ChatCompletionBody(Struct, kw_only=True):
    """What the host reads of it; all else is meant for models, and ignored."""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    stream: Optional[bool] = None
    stream_options: Optional[dict[str, Any]] = None
    metadata: Optional[dict[str, Any]] = None
    n: Optional[int] = None
    tools: Optional[list[Any]] = None
    tool_choice: Any = None

    def read_messages(self) -> tuple[list[Message], str]:
        """What came before, and the user's newest message; raises RequestError."""
        if self.n not in (None, 1):
            raise bad_request("n", "Expected 1: an agent answers once")
        return split_at_newest(read_messages(self.messages), "messages")

    def answered(self) -> tuple[ResponseRef, dict[str, str]] | None:
        """The calls whose results end the conversation: their completion, and what they gave.

        Raises RequestError.
        """
        answers: dict[str, str] = {}
        ref: ResponseRef | None = None
        for index in range(len(self.messages) - 1, -1, -1):
            message = self.messages[index]
            if message.get("role") != "tool":
                break
            try:
                part = PartRef.parse(str(message.get("tool_call_id")))
            except ValueError:
                return None
            ref = ref or part.response
            answers[part.name] = as_text(message.get("content"), f"messages.{index}")
        return None if ref is None else (ref, answers)

    @property
    def include_usage(self) -> bool:
        """Whether the stream should tell the token counts."""
        return bool(self.stream_options and self.stream_options.get("include_usage"))
