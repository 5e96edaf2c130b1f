r"""A provider's JSON: what matters is read strictly, and half a character ends no answer.

Decoders name the fields that matter, with the types that matter; where any type will do (a count,
an error's code) the field is ``Any`` and its reader takes what it can use. Text is text: a server
that cuts its output between the halves of a character writes each half as an escape of its own
(``\ud83d``), which JSON allows and UTF-8 does not. Halves that meet become the character, a half
that stays alone U+FFFD, and so do bytes that are no UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from wsgi_app.agents.upstream_errors import malformed_answer

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: bytes | Raw, raw: Collection[str] = ()) -> T:
    """Decode the provider's JSON; raises UpstreamError if it is malformed.

    ``raw``: the names of the fields that the decoder leaves undecoded, or the items of which.
    Texts may hold halves of characters, see `TextJoiner`.
    """
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    except RecursionError as error:
        raise malformed_answer() from error
    try:
        value = json.loads(bytes(data).decode("utf-8", "replace"), strict=False)
        if isinstance(value, dict):
            value |= {name: _undecoded(value[name]) for name in raw if name in value}
        return msgspec.convert(value, decoder.type)
    # msgspec's own errors are ValueErrors only from 0.21 on.
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise malformed_answer() from error


def _undecoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_undecoded(item) for item in value]
    return Raw(json.dumps(value).encode())


def whole_text(text: str) -> str:
    """Join the halves of characters, and replace those that stay alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class TextJoiner:
    """Gives a text's pieces as they come, but for half a character at the end of one.

    Used by one stream alone.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """Take the next piece, and give what is whole."""
        if not self._half and piece.isascii():
            return piece
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return whole_text(piece)

    def close(self) -> str:
        """Give what is left, of which nothing more comes."""
        half, self._half = self._half, ""
        return whole_text(half)


def count_of(value: Any) -> int:
    """A count as a number from 0 up, whatever the provider made of it."""
    try:
        return max(int(value), 0)
    except (TypeError, ValueError, OverflowError):
        return 0
