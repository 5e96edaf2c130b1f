"""What a client says to a response that is being made."""

from __future__ import annotations

from typing import Any, Union

from msgspec import Struct

from wsgi_app.wires.openai.request.messages import as_text, bad_request


class SteerFrame(Struct, tag="response.steer", tag_field="type", kw_only=True):
    """Says something to a response of the same WebSocket."""

    previous_response_id: str
    input: Union[str, list[dict[str, Any]]]

    def text(self) -> str:
        """All that it says; raises RequestError for what is no text of the user's."""
        if isinstance(self.input, str):
            return _joined([self.input])
        for index, item in enumerate(self.input):
            if item.get("type", "message") != "message" or item.get("role") != "user":
                raise bad_request(f"input.{index}", "Expected messages of the user's")
        texts = [as_text(item.get("content"), f"input.{n}") for n, item in enumerate(self.input)]
        return _joined(texts)


def _joined(texts: list[str]) -> str:
    text = "\n\n".join(texts)
    if not text.strip():
        raise bad_request("input", "Expected a text")
    return text
