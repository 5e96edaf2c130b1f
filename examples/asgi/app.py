"""The host inside an ASGI application, for sites that move to ASGI piece by piece.

Run it: uvicorn --app-dir examples/asgi app:app
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from wsgi_app import AgentHost, Turn

#: Of this process, for all that is mounted; an eighth of them stays free for short requests.
THREADS = 40


def shout(turn: Turn) -> Iterator[str]:
    """Answer in capitals, word by word."""
    for word in turn.message.split():
        yield word.upper() + " "


def make_flask_app() -> Flask:
    """The part of the site that is still Flask."""
    flask_app = Flask(__name__)
    AgentHost(shout).init_app(flask_app)
    return flask_app


async def hello(_request: Request) -> PlainTextResponse:
    """A page of the part that is ASGI already."""
    return PlainTextResponse(f"hello from ASGI, process {os.getpid()}")


# FastAPI takes the same: app.mount("/agents", WSGIMiddleware(…)).
agents: Any = WSGIMiddleware(make_flask_app(), workers=THREADS)  # type: ignore[arg-type] # its types know no Flask
app = Starlette(routes=[Route("/", hello), Mount("/agents", app=agents)])
