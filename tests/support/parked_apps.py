"""Sites whose streams are parked, and what they tell of the worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request

from tests.support.agents import observe, scripted
from wsgi_app import AgentHost
from wsgi_app.delivery.detached.handover import find_connection


def watched_app() -> Flask:
    """Mount the scripted agent in a site that looks at its requests and at gunicorn's worker."""
    app = Flask("site")
    app.add_url_rule("/page", "page", lambda: "a page of the site")
    app.add_url_rule("/worker", "worker", worker_facts)
    AgentHost(scripted).init_app(app, url_prefix="/agents")

    @app.after_request
    def _mark(response: Response) -> Response:
        response.headers["X-Site"] = "was here"
        path = request.path
        response.call_on_close(lambda: observe("closed_response", path))
        return response

    @app.teardown_request
    def _tear_down(error: BaseException | None) -> None:
        observe("torn_down", request.path, error)

    return app


def worker_facts() -> Response:
    """What this worker holds, while it answers this one request."""
    connection = find_connection()
    assert connection is not None
    worker = connection.worker
    return jsonify(
        connections=worker.nr_conns,
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        polled=len(worker.poller.get_map()),
    )


def wrapped_app() -> Callable[..., Iterable[bytes]]:
    """Wrap the site in what reports exceptions that pass, as Sentry's middleware does."""
    app = watched_app()

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            yield from app.wsgi_app(environ, start_response)
        except BaseException as error:
            observe("captured", type(error).__name__)
            raise

    return wrapped


def reporting_app() -> Callable[..., Iterable[bytes]]:
    """Wrap the site like `wrapped_app`, by a function that is no generator."""
    app = watched_app()

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            return app.wsgi_app(environ, start_response)
        except BaseException as error:
            observe("captured", type(error).__name__)
            raise

    return wrapped


def rewriting_app() -> Flask:
    """Have the site put another body into every stream, as a compressing extension does."""
    app = watched_app()

    @app.after_request
    def _rewrite(response: Response) -> Response:
        if response.mimetype == "text/event-stream":
            body = response.iter_encoded()
            response.response = (part for part in body)
        return response

    return app


def hiding_app() -> Callable[..., Iterable[bytes]]:
    """Wrap the site in what hides the connection from it."""
    app = watched_app()

    def hidden(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        kept = {name: value for name, value in environ.items() if name != "gunicorn.socket"}
        return app.wsgi_app(kept, start_response)

    return hidden
