"""What a run is made from: the request's wishes, and what all runs of a worker share."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, Literal, NamedTuple, Optional

import msgspec
from msgspec import Struct

from wsgi_app.config import Settings
from wsgi_app.engine.ephemeral import EphemeralSessions
from wsgi_app.engine.journal import Journal
from wsgi_app.engine.loop import LoopThread
from wsgi_app.engine.session_agents import SessionAgents
from wsgi_app.engine.turn import Agent
from wsgi_app.engine.workdir import Workdirs
from wsgi_app.errors import TurnError
from wsgi_app.store.base import Message, Store


class TurnOrder(Struct, frozen=True, kw_only=True):
    """What a request asks for, beside its place in the store."""

    message: str
    metadata: dict[str, Any]
    on_disconnect: Literal["cancel", "continue"]
    #: Opens the surroundings that agent code runs in, such as a Flask app context.
    app_context: Callable[[], AbstractContextManager[Any]]
    #: The context variables of the request, as far as the agent shall see them.
    context: Context
    #: What came before the turn, where the client keeps it; None for what the session holds.
    history: Optional[list[Message]] = None
    #: Whether the session is for this turn alone, and is forgotten soon after it.
    ephemeral: bool = False
    #: Whether the client keeps the conversation, however long the session is kept.
    passing: bool = False
    #: Whether the turn replaces the newest exchange, if it starts at once.
    regenerates: bool = False
    #: The request's name in logs.
    request_id: str = ""
    #: When the request came, on `time.monotonic`.
    asked_at: float = msgspec.field(default_factory=time.monotonic)
    #: What answers instead of the hosted agent.
    agent: Optional[Agent] = None
    #: How long it goes on without readers; None is AGENT_ORPHAN_SECONDS.
    orphan_seconds: Optional[float] = None
    #: Whether another worker has begun it, or this one has taken it back.
    adopted: bool = False
    #: What the user is told if the agent's object is new.
    notice: str = ""

    def orphan_after(self, default_seconds: float) -> float | None:
        """How long the turn goes on without readers; None is to its end."""
        if self.on_disconnect == "continue":
            return None
        return default_seconds if self.orphan_seconds is None else self.orphan_seconds


class Services(NamedTuple):
    """What all runs of a worker share."""

    settings: Settings
    store: Store
    journal: Journal
    io: LoopThread
    agents_loop: LoopThread
    session_agents: SessionAgents
    ephemeral: EphemeralSessions
    workdirs: Workdirs
    #: The error to end with for one that an agent did not raise on purpose, if it is known.
    explain: Callable[[BaseException], Optional[TurnError]]
