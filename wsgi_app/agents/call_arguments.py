"""The arguments of a model's calls, from the pieces that a provider sends.

An increment is a piece that continues the pieces before it: together they are one JSON object.
That is what the APIs say, so whatever reads as one object when its pieces are joined is taken so,
and nothing below can change it. Some servers send pieces that repeat what came before: the whole
once more at the end, an empty object first, or each time all there is so far. Joined, these are no
JSON; only then are they read as repeats, and only if the last piece holds all that came before it.
Anything else is left as it is, for the tool to refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from wsgi_app.agents.provider_json import whole_text
from wsgi_app.agents.upstream_errors import malformed_answer
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.events import encode_json

_decoder: Final = json.JSONDecoder()
_BLANK: Final = re.compile(r"\s*")


def arguments_text(arguments: Any) -> str:
    """A piece of a call's arguments as text; some servers send an object."""
    if arguments is not None and not isinstance(arguments, (str, dict)):
        raise malformed_answer()
    return encode_json(arguments).decode() if isinstance(arguments, dict) else arguments or ""


def joined_arguments(pieces: Sequence[str]) -> str:
    """A call's arguments, from its pieces in their order."""
    text = whole_text("".join(pieces))
    given = [piece for piece in pieces if piece.strip()]
    if len(given) <= 1 or parse_object(text) is not None:
        return text
    *before, last = given
    repeats = last.startswith("".join(before)) or all(
        b.startswith(a) for a, b in zip(given, given[1:])
    )
    if repeats and parse_object(last) is not None:
        return whole_text(last)
    objects = _objects_in(text)
    if len(objects) > 1 and all(one.items() <= objects[-1].items() for one in objects):
        return encode_json(objects[-1]).decode()
    return text


def _objects_in(text: str) -> list[dict[str, Any]]:
    """The JSON objects that a text is made of; none if there is anything else in it."""
    objects: list[dict[str, Any]] = []
    index = 0
    while index < len(text):
        try:
            value, index = _decoder.raw_decode(text, index)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        objects.append(value)
        index = _BLANK.match(text, index).end()  # type: ignore[union-attr] # it always matches
    return objects


def arguments_to_repeat(arguments: str) -> str:
    """A call's arguments for the next request; some servers refuse what is no JSON object."""
    return "{}" if parse_object(arguments) is None else arguments
