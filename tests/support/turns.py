"""Turns on the real engine with the memory store, without a web server around them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Any, Literal

from wsgi_app.agents.provider_faults import provider_error
from wsgi_app.config import Settings
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.events import AnyEvent
from wsgi_app.store.base import Message, SessionKey, StoreLimits
from wsgi_app.store.memory import MemoryStore

END_SECONDS = 30.0


class TurnBench:
    """Runs agents, each in a new session unless one is named. Used by any thread."""

    def __init__(self, store_class: type[MemoryStore] = MemoryStore, **settings: Any) -> None:
        made = Settings(**settings)
        self.store = store_class(StoreLimits.from_settings(made))
        self.runner = Runner(made, self.store, lambda: _Hosted(self), explain=provider_error)
        self.runner.start()
        #: Whose ``forget_session`` is called, if it has one.
        self.remembering: Any = None
        self._numbers = itertools.count(1)

    def start(  # noqa: PLR0913 - the wishes of a turn, by keyword
        self,
        agent: Callable[..., Any] | None,
        message: str = "hi",
        app_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        *,
        key: SessionKey | None = None,
        if_busy: Literal["reject", "enqueue", "interrupt"] = "reject",
        history: list[Message] | None = None,
        ephemeral: bool = False,
        regenerates: bool = False,
    ) -> TurnRun:
        """Start a turn; without an agent by what the runner makes."""
        number = next(self._numbers)
        request = TurnRequest(
            message=message,
            on_disconnect="continue",
            if_busy=if_busy,
            app_context=app_context,
            context=copy_context(),
            history=history,
            ephemeral=ephemeral,
            agent=agent,
            regenerates=regenerates,
        )
        run = self.runner.begin(key or SessionKey("tenant", f"session-{number}"), request).run
        assert run is not None
        run.start()
        return run

    def run(self, agent: Callable[..., Any], message: str = "hi") -> list[AnyEvent]:
        """Run a turn to its end and give its events."""
        run = self.start(agent, message)
        assert run.wait_ended(END_SECONDS), f"the turn did not end within {END_SECONDS} s"
        return events_of(run)


class _Hosted:
    """The hosted agent of a bench, which is asked to forget sessions: turns bring their own."""

    def __init__(self, bench: TurnBench) -> None:
        self._bench = bench

    def __call__(self, turn: Turn) -> None:
        raise AssertionError(f"turn {turn.turn_id} has brought its agent")

    async def forget_session(self, session: SessionName) -> None:
        """Hand it on."""
        forget = getattr(self._bench.remembering, "forget_session", None)
        if forget is not None:
            await forget(session)


def events_of(run: TurnRun) -> list[AnyEvent]:
    """The events of a turn so far."""
    return [entry.event for entry in run.log.read(0, run.log.last_seq)]
