"""One message at a time as blocks of content: of the clients' streams, one may be open at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from wsgi_app.events import Usage

Kind = Literal["text", "reasoning"]


class OpenMessage:
    """The message that is being sent; used by one thread."""

    def __init__(self, put: Callable[[dict[str, Any]], None]) -> None:
        self._put = put
        self._id = ""
        self._is_open = False
        #: The message's blocks that are whole.
        self._blocks: list[dict[str, Any]] = []
        self._kind: Kind | None = None
        self._text: list[str] = []

    def say(self, message_id: str, text: str) -> None:
        """Add to what the message says."""
        self._add(message_id, "text", text)

    def think(self, message_id: str, text: str) -> None:
        """Add to what the model thinks."""
        if text:
            self._add(message_id, "reasoning", text)

    def call(self, message_id: str, call_id: str, name: str, value: dict[str, Any]) -> None:
        """Add a call, which is whole."""
        self._open(message_id)
        self._close_block()
        block = {"type": "tool_call", "id": call_id, "name": name, "args": value}
        self._blocks.append(block)
        self._emit_block(len(self._blocks) - 1, block)

    def is_of_later(self, message_id: str) -> bool:
        """Whether a message is open, and another than this one."""
        return self._is_open and self._id != message_id

    def finish(self, usage: Usage | None = None) -> None:
        """Close the message, if one is open."""
        if not self._is_open:
            return
        self._close_block()
        counts = {}
        if usage is not None and usage != Usage():
            counts = {
                "usage": {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "total_tokens": usage.total_tokens,
                }
            }
        self._put({"event": "message-finish", **counts})
        self._is_open = False

    def fail(self, reason: str) -> None:
        """Give the message up, if one is open."""
        if self._is_open:
            self._put({"event": "error", "message": reason})
        self._id, self._is_open, self._blocks = "", False, []
        self._kind, self._text = None, []

    def _add(self, message_id: str, kind: Kind, text: str) -> None:
        self._open(message_id)
        if self._kind != kind:
            self._close_block()
            self._kind = kind
            start = {"event": "content-block-start", "index": len(self._blocks)}
            self._put({**start, "content": {"type": kind, kind: ""}})
        self._text.append(text)
        delta = {"type": f"{kind}-delta", kind: text}
        self._put({"event": "content-block-delta", "index": len(self._blocks), "delta": delta})

    def _open(self, message_id: str) -> None:
        """Begin the message; one that continues behind a question is sent from its beginning."""
        if self._is_open and self._id == message_id:
            return
        self.finish()
        if self._id != message_id:
            self._id, self._blocks = message_id, []
        self._is_open = True
        self._put({"event": "message-start", "role": "ai", "id": message_id})
        for index, block in enumerate(self._blocks):
            self._emit_block(index, block)

    def _close_block(self) -> None:
        if self._kind is not None:
            content = {"type": self._kind, self._kind: "".join(self._text)}
            end = {"event": "content-block-finish", "index": len(self._blocks)}
            self._put({**end, "content": content})
            self._blocks.append(content)
        self._kind, self._text = None, []

    def _emit_block(self, index: int, block: dict[str, Any]) -> None:
        """Report a block that is whole; clients put text together of its deltas."""
        kind = block["type"]
        empty = block if kind not in block else {**block, kind: ""}
        self._put({"event": "content-block-start", "index": index, "content": empty})
        if empty is not block:
            delta = {"type": f"{kind}-delta", kind: block[kind]}
            self._put({"event": "content-block-delta", "index": index, "delta": delta})
        self._put({"event": "content-block-finish", "index": index, "content": block})
