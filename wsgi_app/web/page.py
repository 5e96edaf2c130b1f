"""The stand-alone app's chat page, and the browser client that every mount serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, send_from_directory

from wsgi_app.web.mount import Mount
from wsgi_app.web.operation import file_of
from wsgi_app.web.route import OPEN, Route

FOLDER = Path(__file__).parent / "page"
CLIENT = "agent-client.js"
CLIENT_TYPES = "agent-client.d.ts"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
#: Not left to the machine's own table: browsers refuse a module of another type.
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "application/typescript; charset=utf-8",
}


def make_page_blueprint(after_request: Callable[[Response], Response]) -> Blueprint:
    """Serve the page at ``/`` and its files below ``/page/``."""
    blueprint = Blueprint("wsgi_app_page", __name__)
    blueprint.after_request(after_request)
    blueprint.add_url_rule("/", "index", lambda: send_file("index.html"))
    blueprint.add_url_rule("/page/<path:name>", "file", send_file)
    return blueprint


def get_client(_mount: Mount) -> Response:
    """GET /agent-client.js: the client, which finds its host where it was loaded from."""
    return send_file(CLIENT)


def get_client_types(_mount: Mount) -> Response:
    """GET /agent-client.d.ts: the client's types."""
    return send_file(CLIENT_TYPES)


ROUTES: Final = (
    Route("GET", f"/{CLIENT}", get_client, OPEN, file_of("Files", "text/javascript")),
    Route(
        "GET",
        f"/{CLIENT_TYPES}",
        get_client_types,
        OPEN,
        file_of("Files", "application/typescript"),
    ),
)


def send_file(name: str) -> Response:
    """Answer with a file of the page's folder."""
    response = send_from_directory(FOLDER, name)
    known = _CONTENT_TYPES.get(Path(name).suffix)
    if known is not None:
        response.headers["Content-Type"] = known
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    # Checked with the server each time, by its ETag, so that an upgrade is seen at once.
    response.headers["Cache-Control"] = "no-cache"
    return response
