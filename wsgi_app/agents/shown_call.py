"""A tool call as people read it before they allow it: nothing of it can hide."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from wsgi_app.engine.turn.valid_messages import parse_object

#: A longer text is shown by its start and its end, with its length.
MAX_TEXT_CHARS: Final = 300
#: Of a longer list the first ones are shown, with their number.
MAX_ITEMS: Final = 20
#: A longer question is cut, and says so: nobody reads it to its end.
MAX_CALL_CHARS: Final = 10_000
_START_CHARS: Final = 200
_END_CHARS: Final = 80


def shown_call(tool: str, arguments: Any) -> str:
    """Write a call with its arguments: every key of them, each value shortened by itself.

    ``arguments`` are what the tool gets, or their JSON text: of a key that stands there twice the
    second value is shown, which is what all parsers of it take.
    """
    if isinstance(arguments, str):
        parsed = parse_object(arguments)
        shown = _text(arguments) if parsed is None else _shown(parsed)
    else:
        shown = _shown(_plain(arguments))
    if len(shown) > MAX_CALL_CHARS:
        cut = len(shown) - MAX_CALL_CHARS
        shown = f"{shown[:MAX_CALL_CHARS]}… ({cut} more characters are NOT shown)"
    return f"{tool}({shown})"


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - who has tools has it

    try:
        return to_jsonable_python(value, fallback=str, bytes_mode="base64")
    except ValueError:
        return repr(value)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_shown(str(key))}: {_shown(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        more = f", … ({len(value)} items)" if len(value) > MAX_ITEMS else ""
        return f"[{', '.join(map(_shown, value[:MAX_ITEMS]))}{more}]"
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARS:
        start, end = _json(value[:_START_CHARS]), _json(value[-_END_CHARS:])
        return f"{start} … {end} ({len(value)} characters)"
    return _json(value)


def _text(arguments: str) -> str:
    if len(arguments) <= MAX_TEXT_CHARS:
        return "".join(map(_visible, arguments))
    return _shown(arguments)


def _json(value: Any) -> str:
    return "".join(map(_visible, json.dumps(value, ensure_ascii=False)))


def _visible(character: str) -> str:
    """Write out what is not seen, or turns the order of what is: Unicode's formats and spaces."""
    return character if character.isprintable() else json.dumps(character)[1:-1]
