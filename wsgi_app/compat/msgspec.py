"""What msgspec must have done before threads use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct
from msgspec.json import Decoder


def prepare_structs() -> None:
    """Have msgspec look at all of the package's types, in the calling thread.

    It does so when a type is first decoded. Of two threads that decode one for the first time, the
    second finds it half done, and the process ends by a segmentation fault (msgspec 0.22.0 and
    before): the first requests of a worker came at once.
    """
    for kind in _below(Struct):
        if kind.__module__.startswith("wsgi_app."):
            with suppress(TypeError):  # some are not made to be decoded
                Decoder(kind)


def _below(kind: type[Struct]) -> Iterator[type[Struct]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _below(inner)
