"""One step of a response, put together from the events of the Responses API.

What is an increment: a ``delta``, and of arguments what `call_arguments` has. What an item's last
event says of it counts in their place, and the response's end where items had no events of their
own. What ends an answer: the event that holds the ended response, with its status and the reason
in it; an event's name is its status where it says none. What identifies an item, see `OutputItems`.

What is strict: the types of deltas and of items. What is lenient: all else, as in `chat_stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Optional, Union

import msgspec
from msgspec import Raw, Struct

from wsgi_app.agents.answer_end import STOP, end_reason
from wsgi_app.agents.call_arguments import arguments_text
from wsgi_app.agents.model_api import ModelStep
from wsgi_app.agents.provider_json import decode
from wsgi_app.agents.response_items import OutputItems
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.upstream_errors import incomplete_answer, malformed_answer, reported_error
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent

_FAILURES: Final = ("failed", "cancelled")


class Response(Struct):
    """The fields of a response that matter here."""

    status: Any = None
    output: Optional[list[Raw]] = None
    usage: Any = None
    incomplete_details: Any = None
    error: Any = None
    code: Any = None


class StreamEvent(Struct):
    """The fields of an event that matter here; items and responses are decoded where needed."""

    type: Optional[str] = None
    object: Any = None
    delta: Any = None
    arguments: Union[str, dict[str, Any], None] = None
    output_index: Any = None
    summary_index: Any = None
    item: Raw = Raw(b"null")
    response: Raw = Raw(b"null")
    error: Any = None
    code: Any = None


#: What stays undecoded of events and responses.
_RAW: Final = ("item", "response", "output")
_event_decoder = msgspec.json.Decoder(StreamEvent)
_response_decoder = msgspec.json.Decoder(Response)


class ResponsesStep(ModelStep):
    """Takes the events of one response, or its one object; see `ModelStep`."""

    def __init__(self, emit: Callable[[str | AnyEvent], None], *, has_spoken: bool = False) -> None:
        super().__init__(emit, has_spoken=has_spoken)
        self._items = OutputItems(self._check_call)
        # Whether deltas have brought what the item of this kind holds that ends next.
        self._text_came = False
        self._thinking_came = False

    @property
    def calls(self) -> list[CallRequest]:
        """See `ModelStep.calls`."""
        return self._items.calls

    @property
    def output(self) -> list[dict[str, Any]]:
        """The step's items for the next request, as the provider wrote them."""
        return self._items.to_repeat(self.text)

    def _take(self, data: bytes, event: bytes) -> None:
        if event == b"error":
            raise _reported(data)
        value = decode(_event_decoder, data, _RAW)
        value.type = value.type or event.decode("utf-8", "replace")
        take = self._TAKE.get(value.type)
        if take is not None:
            take(self, value)
        elif value.type == "error" or value.error:
            raise reported_error(value.error, value.code)
        elif value.object == "response":
            self._take_end(decode(_response_decoder, data, _RAW))

    def _take_text(self, event: StreamEvent) -> None:
        self._text_came = True
        self._say(_text(event.delta))

    def _take_thinking(self, event: StreamEvent) -> None:
        self._thinking_came = True
        self._think(_text(event.delta))

    def _take_part(self, event: StreamEvent) -> None:
        if event.summary_index:
            self._think("\n\n")  # the parts of a summary are paragraphs

    def _take_added(self, event: StreamEvent) -> None:
        self._items.begin(event.item, event.output_index)

    def _take_arguments(self, event: StreamEvent) -> None:
        self._items.add_arguments(_text(event.delta), event.output_index)

    def _take_all_arguments(self, event: StreamEvent) -> None:
        self._items.set_arguments(arguments_text(event.arguments), event.output_index)

    def _take_done(self, event: StreamEvent) -> None:
        self._emit_item(self._items.finish(event.item, event.output_index))

    def _take_response(self, event: StreamEvent) -> None:
        response = decode(_response_decoder, event.response, _RAW)
        response.status = response.status or (event.type or "").removeprefix("response.")
        self._take_end(response)

    def _take_end(self, response: Response) -> None:
        if response.error or response.status in _FAILURES:
            raise reported_error(response.error)
        if isinstance(response.usage, dict):
            names = ("input_tokens", "output_tokens", "total_tokens")
            self._count_tokens(*(response.usage.get(name) for name in names))
        output = response.output or []
        if not self._items.are_whole and len(output) >= self._items.count:
            self._take_output(output)
        self.finish_reason = _reason(response)
        self.ended = True

    def _take_output(self, output: list[Raw]) -> None:
        """Take all items from the response's end, where their own events are missing."""
        self._items = OutputItems(self._check_call)
        is_news = not self._text
        for index, item in enumerate(output):
            value = self._items.finish(item, index)
            if is_news:
                self._emit_item(value)

    def _emit_item(self, item: dict[str, Any]) -> None:
        """Send what an item holds, unless its deltas have brought it."""
        if item["type"] == "message":
            if not self._text_came:
                self._say("".join(_texts(item.get("content"), ("text", "refusal"))))
            self._text_came = False
        elif item["type"] == "reasoning":
            if not self._thinking_came:
                parts = [*_texts(item.get("summary")), *_texts(item.get("content"))]
                self._think("\n\n".join(parts))
            self._thinking_came = False

    _TAKE: Final[dict[str, Callable[[ResponsesStep, StreamEvent], None]]] = {
        "response.output_text.delta": _take_text,
        "response.refusal.delta": _take_text,
        "response.reasoning_summary_part.added": _take_part,
        "response.reasoning_summary_text.delta": _take_thinking,
        "response.reasoning_text.delta": _take_thinking,
        "response.output_item.added": _take_added,
        "response.function_call_arguments.delta": _take_arguments,
        "response.function_call_arguments.done": _take_all_arguments,
        "response.output_item.done": _take_done,
        "response.completed": _take_response,
        "response.incomplete": _take_response,
        "response.failed": _take_response,
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise malformed_answer()
    return value


def _texts(parts: Any, names: tuple[str, ...] = ("text",)) -> Iterator[str]:
    """The texts in an item's parts, whose shape is the provider's."""
    for part in parts if isinstance(parts, list) else ():
        for name in names:
            text = part.get(name) if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text


def _reason(response: Response) -> str:
    """Why a response ended, in the words of the chat API."""
    if response.status in (None, "completed"):
        return STOP
    details = response.incomplete_details
    reason = end_reason(details.get("reason")) if isinstance(details, dict) else None
    if response.status != "incomplete" or reason is None:
        raise incomplete_answer()
    return reason


def _reported(data: bytes) -> UpstreamError:
    """The error that an event named ``error`` reports, whatever its data is."""
    try:
        event = decode(_event_decoder, data, _RAW)
    except UpstreamError:
        return reported_error(None)
    return reported_error(event.error, event.code)
