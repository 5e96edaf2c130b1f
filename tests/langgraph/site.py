"""The site under test: the scripted agent, and the page of useStream that Vite has built."""

from __future__ import annotations

import os
from typing import Final

from flask import Flask, Response, send_from_directory

from tests.support.apps import scripted_app

#: Names the folder that Vite has built.
FOLDER_VARIABLE: Final = "TEST_PAGE_FOLDER"


def site() -> Flask:
    """Serve the page at /, and the agent below /agents."""
    app = scripted_app()
    folder = os.environ[FOLDER_VARIABLE]

    @app.get("/")
    def index() -> Response:
        return send_from_directory(folder, "index.html")

    @app.get("/old.html")
    def old() -> Response:
        return send_from_directory(folder, "old.html")

    @app.get("/assets/<path:name>")
    def asset(name: str) -> Response:
        return send_from_directory(f"{folder}/assets", name)

    return app
