"""Applications that the servers under test load; each is built by its own process."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Final
from wsgiref.validate import validator

from flask import Flask, g, jsonify, request

from tests.support.agents import REQUEST_NAME, observe, scripted, told
from wsgi_app import AgentHost, Turn
from wsgi_app.store.base import JournalWrite
from wsgi_app.store.redis import RedisStore

LATE_SECONDS: Final = 0.3


def scripted_app() -> Flask:
    """Mount the scripted agent below /agents in a site with a page of its own."""
    app = Flask("site")
    app.add_url_rule("/page", "page", lambda: "a page of the site")
    app.add_url_rule("/pid", "pid", lambda: jsonify(os.getpid()))
    app.add_url_rule("/frozen", "frozen", lambda: jsonify(gc.get_freeze_count()))
    app.add_url_rule("/thresholds", "thresholds", lambda: jsonify(gc.get_threshold()))
    app.add_url_rule("/threads", "threads", lambda: jsonify(own_threads()))
    AgentHost(scripted).init_app(app, url_prefix="/agents")
    return app


def collecting_app() -> Flask:
    """Have the garbage collector look more often than Python does."""
    gc.set_threshold(500, 5, 5)
    return scripted_app()


class Seeing:
    """An agent that does what messages say, and takes files."""

    takes_attachments = True

    def __call__(self, turn: Turn) -> Any:
        """See `told`."""
        return told(turn)


def seeing_app() -> Flask:
    """Mount the agent that takes files below /agents."""
    app = Flask("site")
    AgentHost(Seeing()).init_app(app, url_prefix="/agents")
    return app


def told_app() -> Flask:
    """Mount the agent that does what messages say below /agents."""
    app = Flask("site")
    app.add_url_rule("/pid", "pid", lambda: jsonify(os.getpid()))
    host = AgentHost(told)
    host.init_app(app, url_prefix="/agents")
    app.add_url_rule("/.well-known/agent-card.json", view_func=host.agent_card)
    return app


def own_threads() -> list[str]:
    """The names of the threads that the package has started and that go on."""
    names = [thread.name for thread in threading.enumerate()]
    return sorted(name for name in names if name.startswith("wsgi_app-"))


def minding_app() -> Flask:
    """Mount the scripted agent in a site that has a state for each request and each app context."""
    app = scripted_app()

    @app.before_request
    def _name_request() -> None:
        g.mark = True
        REQUEST_NAME.set(request.headers.get("X-Name", "none"))

    @app.teardown_appcontext
    def _tear_down(_: BaseException | None) -> None:
        observe("torn_down", threading.current_thread().name)

    return app


def late_journal() -> Flask:
    """The scripted site with a store to which each write of events takes long."""
    write = RedisStore.write

    def write_late(store: RedisStore, writes: Sequence[JournalWrite]) -> Any:
        time.sleep(LATE_SECONDS)
        return write(store, writes)

    RedisStore.write = write_late  # type: ignore[method-assign, assignment] # slow, as across a continent
    return scripted_app()


def two_hosts() -> Flask:
    """Mount the scripted agent twice."""
    app = Flask("site")
    for prefix in ("/one", "/two"):
        AgentHost(scripted).init_app(app, url_prefix=prefix)
    return app


def logging_site() -> Flask:
    """Mount the scripted agent in a site that has set its logging up."""
    logging.basicConfig(level=logging.INFO, format="SITE %(name)s %(message)s")
    return scripted_app()


def validated_app() -> object:
    """Wrap the app so that a breach of PEP 3333 fails the request."""
    return validator(scripted_app().wsgi_app)


def __getattr__(name: str) -> Flask:
    """Build ``site`` on first access, for servers that take no factory."""
    if name != "site":
        raise AttributeError(name)
    return scripted_app()
