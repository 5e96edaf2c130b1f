"""The body of ``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from msgspec import Meta, Struct

from wsgi_app.wires.openai.request.messages import (
    Message,
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

    def read_messages(self) -> tuple[list[Message], str]:
        """What came before, and the user's newest message; raises RequestError."""
        if self.n not in (None, 1):
            raise bad_request("n", "Expected 1: an agent answers once")
        return split_at_newest(read_messages(self.messages), "messages")

    @property
    def include_usage(self) -> bool:
        """Whether the stream shall tell the token counts."""
        return bool(self.stream_options and self.stream_options.get("include_usage"))
