"""The routes that describe all routes, for programs and for people."""

from __future__ import annotations

import functools
from typing import Any, Final

from flask import Response, request

from wsgi_app.events import encode_json
from wsgi_app.web.mount import Mount
from wsgi_app.web.openapi.document import make_document
from wsgi_app.web.operation import JSON, Operation, answers, file_of
from wsgi_app.web.page import send_file
from wsgi_app.web.route import OPEN, Route

_PATH: Final = "/openapi.json"
_HEADERS: Final = {"Content-Type": JSON, "Cache-Control": "no-cache"}


def get_openapi(mount: Mount) -> Response:
    """GET /openapi.json: this document."""
    prefix = request.path.removesuffix(_PATH)
    url = request.root_path + prefix or "/"
    return Response(_document(mount, url), headers=_HEADERS)


@functools.lru_cache(maxsize=8)  # takes 20 ms, and the route is open to all
def _document(mount: Mount, server_url: str) -> bytes:
    chars = mount.settings.max_message_chars
    return encode_json(make_document(mount.routes.rows, server_url, chars))


def get_docs(_mount: Mount) -> Response:
    """GET /docs: this document as a page."""
    return send_file("docs.html")


def get_docs_script(_mount: Mount) -> Response:
    """GET /docs.js: the page's script."""
    return send_file("docs.js")


def get_docs_style(_mount: Mount) -> Response:
    """GET /docs.css: the page's style."""
    return send_file("docs.css")


def get_theme(_mount: Mount) -> Response:
    """GET /theme.css: what the host's pages share."""
    return send_file("theme.css")


_DOCUMENT: Final = Operation(group="Description", replies=answers(dict[str, Any]))
ROUTES: Final = (
    Route("GET", _PATH, get_openapi, OPEN, _DOCUMENT),
    Route("GET", "/docs", get_docs, OPEN, file_of("Description", "text/html")),
    Route("GET", "/docs.js", get_docs_script, OPEN, file_of("Description", "text/javascript")),
    Route("GET", "/theme.css", get_theme, OPEN, file_of("Description", "text/css")),
    Route("GET", "/docs.css", get_docs_style, OPEN, file_of("Description", "text/css")),
)
