"""What a host has in each of its processes."""

from __future__ import annotations

import os
from collections.abc import Callable

from wsgi_app.agents.provider_faults import provider_error
from wsgi_app.config import Settings
from wsgi_app.delivery.detached.parking import Parking
from wsgi_app.delivery.disconnect import HangupWatcher
from wsgi_app.delivery.slots import StreamSlots
from wsgi_app.engine.turn.turn import Agent
from wsgi_app.engine.worker.about import AboutWorker
from wsgi_app.engine.worker.registry import register
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.store.base import Store
from wsgi_app.tickets import Tickets


class Worker:
    """The parts of a mount that belong to one process, and start after its fork."""

    def __init__(
        self, settings: Settings, store: Store, make_agent: Callable[[], Agent], slots: StreamSlots
    ) -> None:
        self.pid = os.getpid()
        self.store = store
        self.tickets = Tickets(store.secret)
        self.runner = Runner(settings, store, make_agent, AboutWorker(slots.count), provider_error)
        self.watcher = HangupWatcher(settings.write_timeout_seconds)
        self.parking = Parking(self.runner.loops.io, settings)
        self.runner.before_close.append(self.parking.leave)

    def start(self) -> None:
        """Listen to the store's signals, and register for the server's hooks; once."""
        self.runner.start()
        register(self.runner)
