"""What is told of the toy's route."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from wsgi_app.web.operation import BEGIN_CODES, BODY_CODES, Events, Operation, Reply

from .request import ToyBody


class ToyFrame(Struct):
    """Some text."""

    said: str


class ToyError(Struct):
    """Why not."""

    oops: dict[str, str]


TOY: Final = Operation(
    group="Toy",
    body=ToyBody,
    replies={200: Reply("The text.", (Events(data=(ToyFrame,)),), ("X-Session-Id", "X-Turn-Id"))},
    codes=(*BODY_CODES, *BEGIN_CODES),
)
