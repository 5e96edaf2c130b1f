"""A site with Flask-SQLAlchemy on psycopg2, made to wait by gevent; runs in its own environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from psycogreen.gevent import patch_psycopg
from sqlalchemy import text

from wsgi_app import AgentHost, Turn

patch_psycopg()
app = Flask("site")
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 20}
db = SQLAlchemy(app)


def answer(turn: Turn) -> Iterator[str]:
    """Ask the database, give the connection back, and wait for the end."""
    found = turn.call(lambda: db.session.scalar(text("SELECT 1")))
    yield f"row {found}"
    ended = threading.Event()
    turn.on_cancel(ended.set)
    ended.wait()


@app.before_request
def _use_database() -> None:
    """As a site does that looks its user up."""
    if request.path.startswith("/agents"):
        db.session.execute(text("SELECT 1"))


@app.get("/in-use")
def in_use() -> Response:
    """How many connections are out of the pool."""
    pool: Any = db.engine.pool
    return jsonify(pool.checkedout())


@app.get("/slow")
def slow() -> str:
    """Wait in the database."""
    db.session.execute(text("SELECT pg_sleep(0.5)"))
    return "done"


AgentHost(answer).init_app(app, url_prefix="/agents")
