"""The output items of a response: what the next request repeats, and the calls among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Raw

from wsgi_app.agents.call_arguments import (
    arguments_text,
    arguments_to_repeat,
    joined_arguments,
)
from wsgi_app.agents.model_api import MAX_CALLS_PER_STEP, new_call_id, sendable
from wsgi_app.agents.provider_json import decode
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.upstream_errors import malformed_answer
from wsgi_app.engine.turn.valid_messages import valid_name

#: Bounds of one step; a reasoning item holds the model's encrypted thoughts.
MAX_ITEMS_PER_STEP: Final = 2 * MAX_CALLS_PER_STEP
MAX_ITEM_BYTES_PER_STEP: Final = 8_388_608

_decoder = msgspec.json.Decoder(dict[str, Any])


class OutputItems:
    """The items of one response, in the order in which they began; used by its step alone.

    A server names an item's place in each of its events, some leave it out or repeat it: then the
    last item that fits is meant. Ids of items are not looked at, for some change them with each
    event. What the item's last event says counts, and its fragments only where that is missing.
    """

    def __init__(self, check_call: Callable[[str, str, int], None]) -> None:
        self._check_call = check_call
        self._items: list[_Item] = []
        self._bytes = 0

    def begin(self, raw: Raw, index: int | None) -> None:
        """Take an item's first event."""
        self._append(self._decode(raw), index)

    def add_arguments(self, text: str, index: int | None) -> None:
        """Take a fragment of a call's arguments."""
        item = self._open("function_call", index)
        if item is not None and text:
            item.arguments.append(text)
            self._check_call(item.call_id, item.name, len(text))

    def set_arguments(self, text: str, index: int | None) -> None:
        """Take all of a call's arguments."""
        item = self._open("function_call", index)
        if item is not None:
            self._replace_arguments(item, text)

    def finish(self, raw: Raw, index: int | None) -> dict[str, Any]:
        """Take an item's last event, which may be its only one, and give the item."""
        value = self._decode(raw)
        item = self._open(value["type"], index, value.get("call_id"))
        if item is None:
            item = self._append(value, index)
        item.value, item.is_done = self._with_own_id(value, item), True
        if item.is_call:
            self._replace_arguments(item, arguments_text(value.get("arguments")))
        return value

    @property
    def count(self) -> int:
        """How many items have begun."""
        return len(self._items)

    @property
    def are_whole(self) -> bool:
        """Whether there are items, and the last event of each has come."""
        return bool(self._items) and all(item.is_done for item in self._items)

    @property
    def calls(self) -> list[CallRequest]:
        """The calls among the items."""
        return [
            CallRequest(item.call_id, item.name, joined_arguments(item.arguments))
            for item in self._items
            if item.is_call
        ]

    def to_repeat(self, text: str) -> list[dict[str, Any]]:
        """The items for the next request; ``text`` stands for a message that was not finished."""
        whole = [item for item in self._items if item.is_done or item.is_call]
        values = [item.to_repeat() for item in whole]
        if text and not any(value["type"] == "message" for value in values):
            content = [{"type": "output_text", "text": text, "annotations": []}]
            values.insert(0, {"type": "message", "role": "assistant", "content": content})
        repeated: list[dict[str, Any]] = sendable(values)
        return repeated

    def _decode(self, raw: Raw) -> dict[str, Any]:
        self._bytes += len(bytes(raw))
        value = decode(_decoder, raw)
        names = [value.get("type"), value.get("call_id") or "", value.get("name") or ""]
        if self._bytes > MAX_ITEM_BYTES_PER_STEP or not all(isinstance(n, str) for n in names):
            raise malformed_answer()
        return value

    def _append(self, value: dict[str, Any], index: int | None) -> _Item:
        if len(self._items) >= MAX_ITEMS_PER_STEP:
            raise malformed_answer()
        item = _Item(self._with_own_id(value), index)
        self._items.append(item)
        return item

    def _with_own_id(self, value: dict[str, Any], item: _Item | None = None) -> dict[str, Any]:
        """Leave a call's id out if another call than ``item`` has it: it gets one of its own."""
        call_id = value.get("call_id")
        taken = any(i.is_call and i.call_id == call_id for i in self._items if i is not item)
        return {**value, "call_id": ""} if taken else value

    def _replace_arguments(self, item: _Item, text: str) -> None:
        more_chars = len(text) - sum(map(len, item.arguments))
        item.arguments = [text]
        self._check_call(item.call_id, item.name, more_chars)

    def _open(self, kind: str, index: int | None, call_id: str | None = None) -> _Item | None:
        """Find the last item that has begun, is of this kind, and fits."""
        items = [i for i in self._items if not i.is_done and i.value["type"] == kind]
        for item in reversed(items):
            if call_id and item.value.get("call_id") == call_id:
                return item
        for item in reversed(items):
            if index is None or item.index is None or item.index == index:
                return item
        return None


class _Item:
    def __init__(self, value: dict[str, Any], index: int | None) -> None:
        self.value = value
        self.index = index
        self.arguments: list[str] = []
        self.is_done = False

    @property
    def is_call(self) -> bool:
        return bool(self.value["type"] == "function_call")

    @cached_property
    def _own_id(self) -> str:
        return new_call_id()

    @property
    def call_id(self) -> str:
        return self.value.get("call_id") or self._own_id

    @property
    def name(self) -> str:
        return self.value.get("name") or ""

    def to_repeat(self) -> dict[str, Any]:
        if not self.is_call:
            return self.value
        arguments = arguments_to_repeat(joined_arguments(self.arguments))
        value = self.value if self.is_done else {"type": "function_call"}
        named = {"name": valid_name(self.name), "call_id": self.call_id}
        return {**value, **named, "arguments": arguments}
