"""A row of what providers' streams do: the frames of an answer, and what is read in them."""

from __future__ import annotations

from typing import Final, Optional, Union

from msgspec import Struct

from wsgi_app.events import Usage


class Says(Struct, frozen=True):
    """What an answer says."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    thinking: str = ""
    usage: Usage = Usage()
    is_cut: bool = False


class Fails(Struct, frozen=True):
    """What the error of an answer says."""

    reason: Optional[str] = None
    retryable: bool = True
    text: str = ""


Row = tuple[list[str], Union[Says, Fails]]

A1: Final = ("add", '{"a": 1, "b": 2}')

A2: Final = ("add", '{"a": 3, "b": 4}')

NOW: Final = ("now", "")

MALFORMED: Final = "malformed"

BROKE_OFF: Final = "broke off"
