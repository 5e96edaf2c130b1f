"""An agent that belongs to one session, and an app that hosts it."""

from __future__ import annotations

from flask import Flask

from tests.support.agents import observe
from wsgi_app import AgentHost, Turn
from wsgi_app.engine.worker.signals import Signals
from wsgi_app.errors import StoreUnavailable
from wsgi_app.store.base import Signal
from wsgi_app.store.redis.offers import RedisOffers


class CountingAgent:
    """Belongs to one session; counts its turns."""

    def __init__(self) -> None:
        self._turns = 0
        self._session = ""

    def __call__(self, turn: Turn) -> str:
        """Answer how many turns this object has had."""
        self._turns += 1
        self._session = turn.session_id
        return str(self._turns)

    def close(self) -> None:
        """Tell the test."""
        observe("closed_agent", self._session)


class Office:
    """One agent for all sessions that gives each session its own."""

    def __init__(self) -> None:
        observe("opened_office", "all")

    def open_session(self) -> CountingAgent:
        """A new session's agent."""
        return CountingAgent()


def office_app() -> Flask:
    """Mount an agent that opens a session for each conversation."""
    app = Flask("site")
    AgentHost(Office).init_app(app, url_prefix="/agents")
    return app


def session_agents_app() -> Flask:
    """Mount agents that belong to one session each."""
    app = Flask("site")
    AgentHost(CountingAgent).init_app(app, url_prefix="/agents")
    return app


def lost_offers_app() -> Flask:
    """The same, in a moment at which the store takes no offers."""

    def fail(*_: object) -> None:
        raise StoreUnavailable

    RedisOffers.offer = fail  # type: ignore[assignment,method-assign] # in this process, for its life
    return session_agents_app()


def deaf_app() -> Flask:
    """The same, in a worker that has not heard yet which sessions have moved."""

    def hear(signals: Signals, signal: Signal) -> None:
        if signal.kind != "moved":
            heard(signals, signal)

    heard = Signals.take
    Signals.take = hear  # type: ignore[assignment,method-assign] # in this process, for its life
    return session_agents_app()
