"""The chat page of the stand-alone app."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

FOLDER = Path(__file__).parent / "page"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_page_blueprint() -> Blueprint:
    """Serve the page at ``/`` and its files below ``/page/``."""
    blueprint = Blueprint("wsgi_app_page", __name__)
    blueprint.add_url_rule("/", "index", lambda: _send("index.html"))
    blueprint.add_url_rule("/page/<path:name>", "file", _send)
    return blueprint


def _send(name: str) -> Response:
    response = send_from_directory(FOLDER, name)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    # Checked with the server each time, so that an upgrade is seen at once.
    response.headers["Cache-Control"] = "no-cache"
    return response
