"""An agent that tells what came with its message, and one of text alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

from flask import Flask

from wsgi_app import AgentHost, OpenAIAgent, Turn


class Looking:
    """Names, types, sizes and digests of what came."""

    takes_attachments = True

    def __call__(self, turn: Turn) -> Iterator[str]:
        """Tell of each."""
        if turn.message == "give":
            turn.attach("report.html", b"<b>report</b>", "text/html")
            turn.attach("a/b.bin", io.BytesIO(b"\0" * 100_000))
        for one in turn.attachments:
            with one.open() as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            yield f"{one.name} {one.media_type} {one.size} {digest}\n"
        if not turn.attachments:
            yield "Nothing came."


def deaf(turn: Turn) -> Iterator[str]:
    """Answer with the message."""
    yield turn.message


def app() -> Flask:
    """Mount them below /agents and /text, and a model below /model."""
    site = Flask("site")
    AgentHost(Looking()).init_app(site, url_prefix="/agents")
    AgentHost(deaf).init_app(site, url_prefix="/text")
    AgentHost(OpenAIAgent("test-model")).init_app(site, url_prefix="/model")
    return site
