"""A host that shows what is left of its turns where nothing looks for garbage."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Final

from flask import Flask, Response, jsonify

from tests.support.openai_apps import tools_app
from wsgi_app.delivery.detached.parked import ParkedStream
from wsgi_app.delivery.feed import Feed
from wsgi_app.delivery.reader import Reader
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.web.stream import StreamResponse
from wsgi_app.web.turns import OpenTurn

#: Not the agent's `Turn`: a provider's connection keeps the context that it was made in.
PARTS: Final = (TurnRun, OpenTurn, StreamResponse, Reader, Feed, ParkedStream)


def garbage_app() -> Flask:
    """Mount a model with tools below /agents; GET /left shows the parts of turns in memory."""
    app = tools_app()
    app.add_url_rule("/left", "left", _left)
    gc.disable()
    return app


def _left() -> Response:
    for table in [item for item in gc.get_objects() if isinstance(item, RunTable)]:
        table.prune()  # ended turns stay until the next ones begin
    return jsonify(Counter(type(item).__name__ for item in gc.get_objects() if type(item) in PARTS))
