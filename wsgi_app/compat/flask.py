"""What differs between versions of Flask."""

from __future__ import annotations

from typing import Any, Final

from flask import Request
from flask.ctx import AppContext, RequestContext

#: Flask 3.1 and later have a limit for each request; before, it is the site's alone.
_HAS_LIMIT: Final = getattr(Request.max_content_length, "fset", None) is not None


def read_limited(request: Request, max_bytes: int) -> bytes:
    """Read no more than so much of the body; it ends there without a word.

    Before Flask 3.1 a lower MAX_CONTENT_LENGTH of the site's holds too: Werkzeug raises
    RequestEntityTooLarge (from 2.3 on).
    """
    if _HAS_LIMIT:
        request.max_content_length = max_bytes
        return request.get_data()
    body = request.environ["wsgi.input"]
    request.environ["wsgi.input"] = _Beginning(body, max_bytes)
    try:
        return request.get_data()
    finally:
        request.environ["wsgi.input"] = body


def lift_body_limit(request: Request) -> None:
    """Let the rest of the body be read, whatever the limits were; before Flask 3.1 it has none."""
    if _HAS_LIMIT:
        request.max_content_length = None


class _Beginning:
    """A body's first bytes, for Werkzeug to read as if they were all; of one request's thread."""

    def __init__(self, body: Any, max_bytes: int) -> None:
        self._body = body
        self._left = max_bytes

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        pieces = []
        # To its end: one read of a raw stream, as of Werkzeug's server, may bring less.
        while wanted > 0 and (piece := self._body.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self._left -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int = -1) -> bytes:
        """Werkzeug before 2.3 takes it along where a server does not end the body itself."""
        line: bytes = self._body.readline(self._left if size < 0 else min(size, self._left))
        self._left -= len(line)
        return line


#: What Flask keeps in context variables, in 2.2 and later.
CONTEXTS: Final = frozenset({AppContext, RequestContext})


def is_context(value: object) -> bool:
    """Whether the value of a context variable is what Flask keeps of a request or an app.

    It is the context itself in Flask 2.2 and later. In 2.0 and 2.1 it is a stack of them: a list
    in Werkzeug 2.2 and later, and a list within a dict before.
    """
    if isinstance(value, dict):
        value = value.get("stack")
    if isinstance(value, list):
        return any(isinstance(one, (AppContext, RequestContext)) for one in value)
    return isinstance(value, (AppContext, RequestContext))
