"""A tool's result as one JSON value for the model and the user, without media."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from mcp_types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)

#: What a tool that gives nothing gave: nothing at all reads as a fault, and some providers refuse
#: it.
NO_OUTPUT: Final = "(no output)"
_MEDIA: Final = frozenset({"image", "audio", "video", "blob"})
_DATA_URL: Final = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/=_-]+)"
)
#: Base64 that nothing declares: text has blanks, and identifiers are shorter.
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{2048,}={0,2}")
_MIXED: Final = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"[0-9]"))
#: A text is looked for in the data down to here.
_TEXT_DEPTH: Final = 3


def output_of(result: CallToolResult) -> Any:
    """Make one JSON value of a result: its data, its text or its parts, and both if they differ."""
    parts = [_part(block) for block in result.content]
    if result.structured_content is None:
        return _joined(parts)
    data = without_media(result.structured_content)
    if result.is_error:
        return _joined(parts) if parts else data
    texts = set(_texts_in(data, _TEXT_DEPTH))
    both = zip(result.content, parts, strict=True)
    more = [part for block, part in both if not _is_repeated(block, part, texts)]
    # The official server's form of what is no object.
    value = data["result"] if isinstance(data, dict) and list(data) == ["result"] else data
    if more:
        return {"content": _joined(more), "data": value}
    return NO_OUTPUT if value is None else value


def without_media(value: Any) -> Any:
    """A JSON value in which media are named by their type and size."""
    if isinstance(value, dict):
        return _described(value)
    if isinstance(value, list):
        return [without_media(one) for one in value]
    return _text(value) if isinstance(value, str) else value


def _described(value: dict[str, Any]) -> dict[str, Any]:
    is_media = value.get("type") in _MEDIA or "mimeType" in value
    left_out = {"blob"} | ({"data"} if is_media else set())
    made: dict[str, Any] = {}
    for key, one in value.items():
        if key in left_out and isinstance(one, str):
            made["size_bytes"] = _decoded_bytes(one)
        else:
            made[key] = without_media(one)
    return made


def _joined(parts: list[Any]) -> Any:
    if not parts:
        return NO_OUTPUT
    return (parts[0] if parts[0] != "" else NO_OUTPUT) if len(parts) == 1 else parts


def _part(block: ContentBlock) -> Any:
    """Text as it is; of images and sound only what they are: a model cannot read them here."""
    if isinstance(block, TextContent):
        return _text(block.text)
    if isinstance(block, EmbeddedResource) and isinstance(block.resource, TextResourceContents):
        return _text(block.resource.text)
    part = block.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(block, ImageContent | AudioContent):
        part["size_bytes"] = _decoded_bytes(part.pop("data"))
        return part
    return without_media(part)


def _text(text: str) -> str:
    if '"mimeType"' in text or '"blob"' in text:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None  # it only looks like JSON
        if isinstance(data, (dict, list)) and (without := without_media(data)) != data:
            return json.dumps(without, ensure_ascii=False)
    text = _DATA_URL.sub(lambda url: f"({url[1] or 'data'}, {_decoded_bytes(url[2])} bytes)", text)
    return _RUN.sub(_run, text)


def _run(found: re.Match[str]) -> str:
    text = found[0]
    if not all(kind.search(text) for kind in _MIXED):
        return text
    return f"(base64, {_decoded_bytes(text)} bytes)"


def _texts_in(value: Any, depth: int) -> Iterator[str]:
    """What the data say, as JSON and as text."""
    yield _canonical(value)
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(one, depth - 1)


def _is_repeated(block: ContentBlock, part: Any, texts: set[str]) -> bool:
    if not isinstance(block, TextContent):
        return _canonical(part) in texts
    if not part or part in texts:
        return True
    try:
        return _canonical(without_media(json.loads(block.text))) in texts
    except (ValueError, RecursionError):
        return False


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _decoded_bytes(base64: str) -> int:
    return len(base64) * 3 // 4 - base64[-2:].count("=")
