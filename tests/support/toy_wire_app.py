"""A host with one wire more, whose folder lies elsewhere."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

import wsgi_app.wires
from tests.support.apps import scripted_app


def toy_app() -> Flask:
    """The scripted app, after a look into the toy's folder too."""
    wsgi_app.wires.__path__.append(str(Path(__file__).parent / "wires"))
    return scripted_app()
