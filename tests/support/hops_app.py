"""A host that counts the calls of its own functions on the way of a message."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from flask import Flask, jsonify

import wsgi_app
from wsgi_app import AgentHost, Turn

_PACKAGE: Final = str(Path(wsgi_app.__file__).parent)


def hops_app() -> Flask:
    """A host below /agents, and what it has counted at /hops."""
    app = Flask("hops")
    counter = _Counter()

    def say(turn: Turn) -> Iterator[str]:
        yield turn.message
        counter.counted.acquire(timeout=10)  # its end is not in the first frame

    AgentHost(say, tokens="token=acme").init_app(app, url_prefix="/agents")
    inner = app.wsgi_app

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "POST":
            counter.begin()
        return inner(environ, start_response)

    app.wsgi_app = counted  # type: ignore[method-assign] # as Flask documents it
    app.add_url_rule("/hops", "hops", lambda: jsonify(counter.counts))
    return app


class _Counter:
    """Calls from a view's entry to the first frame, each in its request's thread."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        #: Once for each count.
        self.counted = threading.Semaphore(0)
        self._local = threading.local()

    def begin(self) -> None:
        """Count in this thread, from `post_chat` on."""
        self._local.count = None
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, made: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return
        if event == "call":
            if code.co_name == "post_chat":
                self._local.count = 0
            if self._local.count is not None:
                self._local.count += 1
        elif event == "return" and code.co_name == "stream_frames" and b"data:" in (made or b""):
            sys.setprofile(None)
            self.counts.append(self._local.count)
            self.counted.release()
