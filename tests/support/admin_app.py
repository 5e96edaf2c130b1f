"""A site whose operator's page is on, with an agent that says a word now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Request

from wsgi_app import AgentHost, Turn
from wsgi_app.auth import Principal
from wsgi_app.tokens import DEFAULT_SCOPES, SCOPES


def admin_app() -> Flask:
    """Mount the agent below /agents; the login is what the header or the cookie says."""
    app = Flask("site")
    host = AgentHost(talk, authenticate=_authenticate, admin=True, max_turns_per_tenant=1000)
    host.init_app(app, url_prefix="/agents")
    return app


def _authenticate(request: Request) -> Principal | None:
    named = request.headers.get("Authorization", "").removeprefix("Bearer ")
    tenant = named or request.cookies.get("login", "")
    if not tenant:
        return None
    return Principal(tenant, SCOPES if tenant == "operator" else DEFAULT_SCOPES)


def talk(turn: Turn) -> Iterator[Any]:
    """Say a word 20 times a second, or ask."""
    if turn.message == "ask":
        yield turn.ask("Which?")
    while True:
        yield "word "
        turn.check()
        time.sleep(0.05)
