"""One step of a chat completion, put together from its streamed chunks.

What is an increment: each ``delta``, text and reasoning always, since any text may follow another;
arguments as `call_arguments` has it. A ``message`` is all there is: of it counts what no delta has
told. What ends an answer, see `ModelStep` and `answer_end`.

What identifies a call: its index; where that is missing or new, its id; where that is missing too,
that it is the latest. A call begins with a fragment that none of this fits. It also begins with a
name, where servers give all calls one index: if the call there is whole or has another name, unless
the id says that it continues. An id alone begins nothing, for some servers change it with each
fragment; the first one counts.

What is strict: the types of text, names, arguments and calls, which would otherwise be wrong
without a word. What is lenient: all else, counts, codes, extra fields, for no answer fails by what
nobody needs of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import UNSET

from wsgi_app.agents.answer_end import STOP, end_reason
from wsgi_app.agents.call_arguments import arguments_text, joined_arguments
from wsgi_app.agents.chat_chunks import (
    CallDelta,
    Choice,
    Chunk,
    Delta,
    FunctionDelta,
    id_of,
    name_of,
    texts_of,
    thoughts_of,
)
from wsgi_app.agents.model_api import MAX_CALLS_PER_STEP, ModelStep, new_call_id
from wsgi_app.agents.provider_json import decode, whole_text
from wsgi_app.agents.reasoning_details import DETAIL_FIELDS, ReasoningDetails
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.upstream_errors import malformed_answer, reported_error
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent

#: How often a step looks whether a call is whole; each look reads all of it.
_MAX_LOOKS: Final = 4 * MAX_CALLS_PER_STEP


_decoder = msgspec.json.Decoder(Chunk)


class ChatStep(ModelStep):
    """Takes the chunks of one step, or its one object; see `ModelStep`."""

    def __init__(self, emit: Callable[[str | AnyEvent], None], *, has_spoken: bool = False) -> None:
        super().__init__(emit, has_spoken=has_spoken)
        self._has_thought = False
        self._reasoning_content: list[str] = []
        self._details = {name: ReasoningDetails() for name in DETAIL_FIELDS}
        self._calls: list[_Call] = []
        self._latest_at: dict[int | str, _Call] = {}
        self._looks_left = _MAX_LOOKS
        self._has_reason = False

    @property
    def calls(self) -> list[CallRequest]:
        """See `ModelStep.calls`."""
        return [CallRequest(call.id, call.name, call.arguments) for call in self._calls]

    @property
    def reasoning_content(self) -> str:
        """The reasoning under the name with which DeepSeek wants it back with its calls."""
        return whole_text("".join(self._reasoning_content))

    @property
    def reasoning_details(self) -> dict[str, Any]:
        """What else of the reasoning a provider wants back with its calls, by its field."""
        found = {name: details.to_repeat() for name, details in self._details.items()}
        return {name: details for name, details in found.items() if details}

    @property
    def extra_contents(self) -> Sequence[Any]:
        """What the provider wants back with each of the calls."""
        return [call.extra_content for call in self._calls]

    def close(self) -> None:
        """See `ModelStep.close`."""
        if self.ended and not self._has_reason:
            self.finish_reason = self.finish_reason or STOP
        super().close()

    def _take(self, data: bytes, event: bytes) -> None:
        if event == b"error":
            raise _reported(data)
        chunk = decode(_decoder, data)
        if chunk.error or chunk.object == "error":
            raise reported_error(chunk.error, chunk.code)
        self._take_usage(chunk.usage)
        for choice in chunk.choices or ():
            if not choice.index:
                self._take_choice(choice)

    def _take_usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            names = ("prompt_tokens", "completion_tokens", "total_tokens")
            self._count_tokens(*(usage.get(name) for name in names))

    def _take_choice(self, choice: Choice) -> None:
        self._take_usage(choice.usage)
        if choice.delta is not None:
            self._take_delta(choice.delta)
        if choice.message is not None:
            self._take_whole(choice.message)
            if choice.delta is None:
                self.finish_reason = self.finish_reason or STOP
        if choice.finish_reason is not UNSET:
            self._has_reason = True
            self.finish_reason = end_reason(choice.finish_reason) or self.finish_reason

    def _take_delta(self, delta: Delta) -> None:
        for thought in thoughts_of(delta):
            self._has_thought = True
            self._think(thought)
        if delta.reasoning_content and isinstance(delta.reasoning_content, str):
            self._reasoning_content.append(delta.reasoning_content)
        for name, details in self._details.items():
            details.add(getattr(delta, name))
        for text in texts_of(delta):
            self._say(text)
        for fragment in delta.tool_calls or ():
            self._take_fragment(fragment, self._call_of(fragment))

    def _take_whole(self, message: Delta) -> None:
        """Take what a whole message holds beyond what deltas brought."""
        text, sent = "".join(texts_of(message)), self.text
        self._take_delta(
            Delta(
                content=text.removeprefix(sent) if text.startswith(sent) else None,
                reasoning_content=None if self._has_thought else message.reasoning_content,
                reasoning=None if self._has_thought else "".join(thoughts_of(message)),
                reasoning_details=None if self._has_thought else message.reasoning_details,
                thinking_blocks=None if self._has_thought else message.thinking_blocks,
            )
        )
        if not self._calls:
            for fragment in message.tool_calls or ():
                self._take_fragment(fragment, self._begin_call(fragment))

    def _take_fragment(self, fragment: CallDelta, call: _Call) -> None:
        given_id = id_of(fragment)
        if given_id and not call.given_id and self._call_with(given_id) is None:
            call.given_id = given_id  # a second call of the same id gets one of its own
        call.extra_content = fragment.extra_content or call.extra_content
        function = fragment.function or FunctionDelta()
        call.name = call.name or whole_text(function.name or "")
        arguments = arguments_text(function.arguments)
        if arguments:
            call.add_arguments(arguments)
        self._check_call(call.given_id, call.name, len(arguments))

    def _call_of(self, fragment: CallDelta) -> _Call:
        """Find the call that a fragment continues, or begin one."""
        call = self._known_call(fragment)
        if call is None or self._begins_another(fragment, call):
            return self._begin_call(fragment)
        if fragment.index is not None:
            self._latest_at[fragment.index] = call
        return call

    def _known_call(self, fragment: CallDelta) -> _Call | None:
        if fragment.index is not None and fragment.index in self._latest_at:
            return self._latest_at[fragment.index]
        name, given_id = name_of(fragment), id_of(fragment)
        known = self._call_with(given_id)
        if known is not None and (fragment.index is None or not name):
            return known
        if given_id or (name and fragment.index is not None):
            return None
        return self._calls[-1] if self._calls else None

    def _begins_another(self, fragment: CallDelta, call: _Call) -> bool:
        name, given_id = name_of(fragment), id_of(fragment)
        if not name or not call.name:
            return False
        if call.given_id and given_id in ("", call.given_id):
            return False
        has_arguments = fragment.function is not None and bool(fragment.function.arguments)
        if name != call.name or not (has_arguments or call.has_arguments):
            return True
        self._looks_left -= 1
        return self._looks_left >= 0 and call.is_whole

    def _call_with(self, given_id: str) -> _Call | None:
        return next((c for c in self._calls if given_id and c.given_id == given_id), None)

    def _begin_call(self, fragment: CallDelta) -> _Call:
        if len(self._calls) >= MAX_CALLS_PER_STEP:
            raise malformed_answer()
        call = _Call()
        self._calls.append(call)
        if fragment.index is not None:
            self._latest_at[fragment.index] = call
        return call


class _Call:
    def __init__(self) -> None:
        self.given_id = ""
        self.name = ""
        self.extra_content: Any = None
        self._pieces: list[str] = []
        self._is_whole: bool | None = None

    def add_arguments(self, piece: str) -> None:
        self._pieces.append(piece)
        self._is_whole = None

    @cached_property
    def _own_id(self) -> str:
        return new_call_id()

    @property
    def id(self) -> str:
        return self.given_id or self._own_id

    @property
    def arguments(self) -> str:
        return joined_arguments(self._pieces)

    @property
    def has_arguments(self) -> bool:
        return bool(self._pieces)

    @property
    def is_whole(self) -> bool:
        if self._is_whole is None:  # read once: each of many fragments asks
            self._is_whole = parse_object("".join(self._pieces)) is not None
        return self._is_whole


def _reported(data: bytes) -> UpstreamError:
    """The error that an event named ``error`` reports, whatever its data is."""
    try:
        chunk = decode(_decoder, data)
    except UpstreamError:
        return reported_error(None)
    return reported_error(chunk.error, chunk.code)
