"""The chunks of a streamed chat completion, as far as they matter here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional, Union

from msgspec import UNSET, Struct

from wsgi_app.agents.provider_json import whole_text


class FunctionDelta(Struct):
    """A fragment of a call; ``arguments`` is an object where a server does not write text."""

    name: Optional[str] = None
    arguments: Union[str, dict[str, Any], None] = None


class CallDelta(Struct):
    """A fragment of one of the step's calls."""

    index: Union[int, str, None] = None
    id: Union[str, int, None] = None
    function: Optional[FunctionDelta] = None
    #: What Gemini wants back with the call.
    extra_content: Any = None


class ContentPart(Struct):
    """A part of content that is a list, as Mistral's reasoning models write it."""

    text: Optional[str] = None
    thinking: Union[str, list[ContentPart], None] = None


class Delta(Struct):
    """What a chunk adds; reasoning has two names in the field, none in the API's reference."""

    content: Union[str, list[ContentPart], None] = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    tool_calls: Optional[list[CallDelta]] = None


class Choice(Struct):
    """A choice of a chunk; ``message`` is all of it, from a server that does not stream."""

    index: Any = None
    delta: Optional[Delta] = None
    message: Optional[Delta] = None
    finish_reason: Any = UNSET
    #: Where Kimi counts tokens.
    usage: Any = None


class Chunk(Struct):
    """The fields of a chunk that matter here; decoding skips all others, which saves most."""

    choices: Optional[list[Choice]] = None
    usage: Any = None
    error: Any = None
    object: Any = None
    code: Any = None


def thoughts_of(delta: Delta) -> Iterator[str]:
    """The reasoning in a delta, of whichever name and form."""
    for thought in (delta.reasoning_content, delta.reasoning):
        if thought and isinstance(thought, str):
            yield thought
            break
    for part in delta.content if isinstance(delta.content, list) else ():
        inner = part.thinking
        texts = [one.text for one in inner] if isinstance(inner, list) else [inner]
        yield from filter(None, texts)


def texts_of(delta: Delta) -> Iterator[str]:
    """The text in a delta, a refusal among it."""
    if isinstance(delta.content, list):
        yield from (part.text for part in delta.content if part.text)
    elif delta.content:
        yield delta.content
    if delta.refusal and isinstance(delta.refusal, str):
        yield delta.refusal


def id_of(fragment: CallDelta) -> str:
    """The id in a fragment of a call, empty if there is none."""
    return "" if fragment.id is None else whole_text(str(fragment.id))


def name_of(fragment: CallDelta) -> str:
    """The tool's name in a fragment of a call, empty if there is none."""
    return (fragment.function.name or "") if fragment.function is not None else ""
