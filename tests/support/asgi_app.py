"""The scripted agent below a Starlette application."""

from __future__ import annotations

from a2wsgi import WSGIMiddleware
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.support.apps import scripted_app

#: Of which six may stream.
THREADS = 8

app = Starlette(
    routes=[Mount("/", app=WSGIMiddleware(scripted_app(), workers=THREADS))]  # type: ignore[arg-type] # its types know no Flask
)
