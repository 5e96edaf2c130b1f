"""A bare WSGI generator: what the server itself costs, and so what no framework can beat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.servers import paced


def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """Answer any request with a stream."""
    message = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for text in paced.answer(message):
        yield f"data: {json.dumps({'type': 'token', 'content': text})}\n\n".encode()
