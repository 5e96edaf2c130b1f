"""A program that decodes each type of the package first in many threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from flask import Flask

from wsgi_app import AgentHost

THREADS = 8


def all_below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """All types made of one."""
    for inner in kind.__subclasses__():
        yield inner
        yield from all_below(inner)


def main() -> None:
    """Mount a host, and decode."""
    AgentHost(lambda turn: turn.message).init_app(Flask("site"), url_prefix="/agents")
    sys.setswitchinterval(1e-6)
    kinds = [kind for kind in all_below(msgspec.Struct) if kind.__module__.startswith("wsgi_app.")]
    # The last field first: the types of fields are looked at in their order.
    for kind in kinds:
        if kind.__module__ != "wsgi_app.web.operation":  # which msgspec cannot decode
            decode_at_once(kind)
    sys.stdout.write(f"{len(kinds)} types\n")


def decode_at_once(kind: type[msgspec.Struct]) -> None:
    """Decode a document with all fields in each thread."""
    names = reversed(kind.__struct_encode_fields__)
    tag = kind.__struct_config__.tag_field
    marks = {tag: kind.__struct_config__.tag} if tag else {}
    data = msgspec.json.encode({**marks, **dict.fromkeys(names)})
    begin = threading.Barrier(THREADS)

    def decode() -> None:
        begin.wait()
        with suppress(msgspec.ValidationError):
            msgspec.json.decode(data, type=kind)

    threads = [threading.Thread(target=decode) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
