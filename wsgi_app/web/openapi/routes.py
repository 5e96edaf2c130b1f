"""The routes that describe all routes, to programs and to people."""

from __future__ import annotations

import functools
from typing import Any, Final

from flask import Response, request

from wsgi_app.events import encode_json
from wsgi_app.web import admin
from wsgi_app.web.answers import CancelAnswer
from wsgi_app.web.mount import Mount
from wsgi_app.web.openapi.document import Place, make_document
from wsgi_app.web.openapi.operation import (
    BODY_CODES,
    JSON,
    READ_CODES,
    STORE_CODES,
    Content,
    Events,
    Operation,
    Operations,
    Reply,
    answers,
)
from wsgi_app.web.page import send_file
from wsgi_app.wires.ag_ui import describe as ag_ui
from wsgi_app.wires.ai_sdk import describe as ai_sdk
from wsgi_app.wires.native import describe as native
from wsgi_app.wires.openai import describe as openai

_PATH: Final = "/openapi.json"
_HEADERS: Final = {"Content-Type": JSON, "Cache-Control": "no-cache"}


def get_openapi(mount: Mount) -> Response:
    """GET /openapi.json: this document."""
    prefix = request.path.removesuffix(_PATH)
    url = request.root_path + prefix or "/"
    return Response(_document(mount, request.blueprint, Place(prefix, url)), headers=_HEADERS)


@functools.lru_cache(maxsize=8)  # takes 20 ms, and the route is open to all
def _document(mount: Mount, name: str, place: Place) -> bytes:
    rules = [r for r in mount.app.url_map.iter_rules() if r.endpoint.rpartition(".")[0] == name]
    chars = mount.settings.max_message_chars
    return encode_json(make_document(OPERATIONS, rules, place, chars))


def get_docs(_mount: Mount) -> Response:
    """GET /docs: this document as a page."""
    return send_file("docs.html")


def get_docs_script(_mount: Mount) -> Response:
    """GET /docs.js: the page's script."""
    return send_file("docs.js")


def get_docs_style(_mount: Mount) -> Response:
    """GET /docs.css: the page's style."""
    return send_file("docs.css")


ROUTES: Final = [
    ("GET", _PATH, get_openapi),
    ("GET", "/docs", get_docs),
    ("GET", "/docs.js", get_docs_script),
    ("GET", "/docs.css", get_docs_style),
]


def _file(media_type: str) -> Operation:
    reply = Reply("The file.", (Content(media_type),))
    return Operation(group="Description", replies={200: reply})


OPERATIONS: Final[Operations] = {
    **native.OPERATIONS,
    **openai.OPERATIONS,
    **ai_sdk.OPERATIONS,
    **ag_ui.OPERATIONS,
    admin.get_admin: _file("text/html"),
    admin.get_admin_script: _file("text/javascript"),
    admin.get_admin_style: _file("text/css"),
    admin.get_admin_events: Operation(
        group="Operation",
        replies={200: Reply("A snapshot every second.", (Events(data=(admin.AdminSnapshot,)),))},
        codes=READ_CODES,
    ),
    admin.post_admin_cancel: Operation(
        group="Operation",
        body=admin.AdminCancelBody,
        replies=answers(CancelAnswer, "Answered when the turn has ended, or after a second."),
        codes=(*BODY_CODES, *STORE_CODES),
    ),
    get_openapi: Operation(group="Description", replies=answers(dict[str, Any])),
    get_docs: _file("text/html"),
    get_docs_script: _file("text/javascript"),
    get_docs_style: _file("text/css"),
}
