"""A host for the suite of A2A, which tells by the ids of its messages what an agent shall do.

An agent of the host knows no ids of clients: what stands before the application here puts each
message's id into its metadata, and touches nothing else.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from flask import Flask

from wsgi_app import AgentHost, Status, Turn, TurnError

#: What is said, by the beginnings of the messages' ids.
TEXTS: Final = {
    "tck-artifact-text": ("Generated text content",),
    "tck-message-response": ("Direct message response",),
    "tck-stream-001": ("Stream hello from TCK",),
    "tck-stream-002": (),
    "tck-stream-003": ("Stream task lifecycle",),
    "tck-stream-ordering-001": ("Ordered output",),
    "tck-stream-artifact-text": ("Streamed text content",),
    "tck-stream-artifact-chunked": ("chunk-1 ", "chunk-2"),
}
RESUBSCRIBE_SECONDS: Final = 5.0


def agent(turn: Turn) -> Iterator[Any]:
    """Do what the suite wants."""
    named = str(turn.metadata.get("messageId", ""))
    if named.startswith("tck-input-required"):
        yield str(turn.ask("What else?"))
    elif named.startswith("tck-reject-task"):
        raise TurnError("rejected")
    elif named.startswith("test-resubscribe-message-id"):
        yield Status("at work")
        time.sleep(RESUBSCRIBE_SECONDS)
        yield "done"
    else:
        found = [texts for begin, texts in TEXTS.items() if named.startswith(begin)]
        if named.startswith("tck-stream"):
            yield Status("at work")
        yield from found[0] if found else ("Hello from TCK",)


class Naming:
    """Tells the agent the ids of the suite's messages."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer as WSGI asks."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            sent = json.loads(body)
            message = sent.get("params", sent)["message"]
            message["metadata"] = {"messageId": message["messageId"], **message.get("metadata", {})}
            body = json.dumps(sent).encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        return self._app(environ, start_response)


def suite_app() -> Flask:
    """Mount the agent below /agents, for everybody: the suite shows no token."""
    app = Flask("site")
    AgentHost(agent, authenticate=lambda _: "suite").init_app(app, url_prefix="/agents")
    app.wsgi_app = Naming(app.wsgi_app)  # type: ignore[method-assign] # as Flask documents it
    return app
