"""One host in one Flask app: what its views need."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, copy_context
from typing import Any, TypeVar

from flask import Flask, current_app, g, request

from wsgi_app.auth import Authenticator
from wsgi_app.compat.flask import CONTEXTS, is_context
from wsgi_app.compat.flask_sqlalchemy import find_session
from wsgi_app.config import Settings
from wsgi_app.delivery.detached.handover import may_hand_over
from wsgi_app.delivery.feed import Feed
from wsgi_app.delivery.reader import Reader
from wsgi_app.delivery.server import ServerFacts, find_leaving, find_server, prepare_leaving
from wsgi_app.delivery.slots import Delivery, Permit, Slot, StreamSlots
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.engine.turn.turn import Agent
from wsgi_app.engine.worker.cancels import CANCEL_WAIT_SECONDS, MOMENT_SECONDS
from wsgi_app.engine.worker.drain import drain_when
from wsgi_app.engine.worker.registry import register_host
from wsgi_app.engine.worker.runner import Runner
from wsgi_app.errors import MemoryUnavailable, RequestError, draining
from wsgi_app.events import CancelReason, Cursor
from wsgi_app.files import FileStorage
from wsgi_app.limits import parse_rate
from wsgi_app.metrics import note_worker
from wsgi_app.store.base import SessionKey, Store
from wsgi_app.tickets import Tickets
from wsgi_app.web.file_sweeps import FileSweeps
from wsgi_app.web.route import RouteTable
from wsgi_app.web.set_up import UNKNOWN_SERVER, metrics_warnings, warnings_of
from wsgi_app.web.worker import Worker

log = logging.getLogger("wsgi_app")

T = TypeVar("T")

#: Where an app keeps its mounts, by the names of their blueprints.
EXTENSION_KEY = "wsgi_app"


class Mount:
    """Settings, agent and worker of one host.

    Used by every request thread; ``_lock`` guards the making of the worker's parts, and
    the warnings.
    """

    def __init__(  # noqa: PLR0913 - the parts that a host brings together, by name
        self,
        app: Flask,
        settings: Settings,
        make_agent: Callable[[], Agent],
        authenticate: Authenticator,
        make_store: Callable[[], Store],
        *,
        shared_store: bool,
        before_stream: Callable[[], None] | None = None,
        files: FileStorage | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        #: What it is called, see `Settings.host`.
        self.host = settings.host
        self.authenticate = authenticate
        self.start_rate = parse_rate(settings.rate_limit)
        self.slots = StreamSlots(settings)
        self.shared_store = shared_store
        #: Its blueprint's.
        self.routes = RouteTable()
        self._make_agent = make_agent
        self._make_store = make_store
        self.before_stream = before_stream
        #: What keeps the files that users send; None where there are none.
        self.files = files
        #: By process id.
        self._locks: dict[int, threading.Lock] = {}
        self._worker: Worker | None = None
        self._warned: dict[str, str] = {}
        self.server: ServerFacts | None = None
        #: How long an answer may wait for events on a server that cannot stream; None: it can.
        self.burst_seconds: float | None = None
        #: Whether a stream's chunks have reached the server one by one.
        self.chunks_flow = False
        self._has_asked = False
        self.learn_server(serving=False)
        prepare_leaving()
        register_host(self)

    @property
    def _lock(self) -> threading.Lock:
        """A lock of this process: gevent replaces locks, and may do so after the fork."""
        return self._locks.setdefault(os.getpid(), threading.Lock())

    @property
    def worker(self) -> Worker:
        """This process's parts, made on first use."""
        worker = self._worker  # set once it is whole, so that no lock is needed to read it
        if worker is not None and worker.pid == os.getpid():
            return worker
        with self._lock:
            worker = self._worker
            if worker is None or worker.pid != os.getpid():
                self._worker = worker = self._make_worker()
            return worker

    def _make_worker(self) -> Worker:
        worker = Worker(self.settings, self._make_store(), self._make_agent, self.slots)
        worker.start()
        worker.runner.affinity.app_context = self.app_context
        if self.files is not None:
            worker.runner.files.storage = self.files
            worker.runner.tidy.append(FileSweeps(self.files, worker.store).sweep_soon)
        note_worker()
        self.slots.publish_count()
        if (leaving := find_leaving()) is not None:
            drain_when(leaving)
        self._log_lacks()
        return worker

    def _log_lacks(self) -> None:
        """Say in one warning what will not work as the host is set up."""
        parts = (self.authenticate, self._make_agent)
        if lacks := [lack for part in parts if (lack := getattr(part, "lack", ""))]:
            log.warning("%s", "; ".join(lacks))

    @property
    def runner(self) -> Runner:
        """This process's turns."""
        return self.worker.runner

    @property
    def store(self) -> Store:
        """This process's access to the store."""
        return self.worker.store

    @property
    def draining(self) -> bool:
        """Whether this worker refuses new work because it is about to leave."""
        return self.runner.draining

    @property
    def tickets(self) -> Tickets:
        """What signs and reads this host's tickets."""
        return self.worker.tickets

    def learn_server(self, *, serving: bool = True) -> None:
        """Find out once which server runs this process; ``serving``: called during a request."""
        if self.server is not None or self._has_asked:
            return
        self._has_asked = serving
        self.server = find_server(serving=serving)
        self.burst_seconds = None if self.server is None else self.server.burst_seconds
        self.slots.learn(self.server)
        if serving:
            self.log_warnings()

    def log_warnings(self) -> None:
        """Log the warnings about this set-up that are known."""
        for warning in self.setup_warnings():
            log.warning("%s", warning)

    def warnings(self) -> list[str]:
        """All warnings about this worker."""
        found = self.setup_warnings() + metrics_warnings(
            self.server, shared_store=self.shared_store
        )
        return found + list(self._warned.values()) + self.runner.warnings + self._parking_warnings()

    def warn_once(self, kind: str, warning: str) -> None:
        """Log the first of a kind that requests have shown, and keep it among the warnings."""
        with self._lock:
            if kind in self._warned:
                return
            self._warned[kind] = warning
        log.warning("%s", warning)

    def _parking_warnings(self) -> list[str]:
        if self.settings.delivery in (None, "thread"):
            return []
        self.worker.parking.learn()
        return self.worker.parking.warnings()

    def setup_warnings(self) -> list[str]:
        """All warnings about this set-up."""
        if self.server is None:
            return [UNKNOWN_SERVER] if self._has_asked and not self.slots.known else []
        return warnings_of(self.server, self.slots.count()[1], shared_store=self.shared_store)

    def open_reader(
        self,
        key: SessionKey,
        cursor: Cursor,
        only_turn: int | None,
        slot: Slot | None,
        run: TurnRun | None = None,
    ) -> Reader:
        """Make a reader for the client of this request; ``run`` is the turn that it started."""
        worker = self.worker
        feed = Feed(worker.runner, key, cursor.position, only_turn, run, mark=cursor.mark)
        return Reader(feed, worker.watcher, request.environ, slot, self.host)

    def check_draining(self) -> None:
        """Refuse this request if the worker is about to leave; raises RequestError."""
        if self.worker.runner.draining:
            raise draining()

    def attach(
        self,
        keys: Sequence[SessionKey],
        open_reader: Callable[[Slot], T],
        *,
        streams: bool = False,
        starts: bool = False,
    ) -> T:
        """Open a reader of these sessions, with a slot that it returns when it closes.

        ``streams``: whether its answer may be parked; ``starts``: whether it starts a turn. Raises
        RequestError, also where ``open_reader`` does; the slot is free again then.
        """
        if self.worker.runner.draining:
            raise draining()
        slot = self.take_slot(keys, streams=streams, starts=starts)
        try:
            return open_reader(slot)
        except BaseException:
            slot.give_back()
            raise

    def take_slot(
        self, keys: Sequence[SessionKey], *, streams: bool = False, starts: bool = False
    ) -> Slot:
        """Take a slot for a reader of these sessions; see `attach`, which also returns it."""
        if self.server is None:
            self.learn_server()
        try:
            return self.slots.take(
                keys,
                self._delivery() if streams and self.settings.delivery else "thread",
                starts=starts,
            )
        except RequestError as error:
            if error.code == "at_capacity":
                self.warn_once(error.code, _full(error))
            raise

    def take_permit(self) -> Permit | None:
        """Take a permit for a wait of this request: of its tenant's, or of all strangers'."""
        self.learn_server()
        principal = g.get("wsgi_app_principal")
        return self.slots.take_permit(principal and principal.tenant)

    @contextmanager
    def permit(self, key: SessionKey) -> Iterator[bool]:
        """Hold a permit for a short wait in the block; yields whether there is one."""
        self.learn_server()
        permit = self.slots.take_permit(key.tenant)
        try:
            yield permit is not None
        finally:
            if permit is not None:
                permit.give_back()

    def cancel(self, key: SessionKey, turn: int | None, reason: CancelReason = "user") -> list[int]:
        """End turns, see `Runner.cancel`; waits for the end where there is a permit for that."""
        with self.permit(key) as may_wait:
            seconds = CANCEL_WAIT_SECONDS if may_wait else MOMENT_SECONDS
            return self.runner.cancel(key, turn, reason, seconds)

    def delete_session(self, key: SessionKey) -> bool:
        """Forget a session, see `Runner.delete_session`; waits as `cancel` does.

        Raises MemoryUnavailable where its files cannot be forgotten.
        """
        with self.permit(key) as may_wait:
            seconds = CANCEL_WAIT_SECONDS if may_wait else MOMENT_SECONDS
            deleted = self.runner.delete_session(key, seconds)
        if self.files is not None:
            try:
                self.files.delete_session(*key)
            except OSError:
                log.exception("the files of a session cannot be forgotten")
                raise MemoryUnavailable from None
        return deleted

    def _delivery(self) -> Delivery:
        """How the stream of this request may reach its client."""
        wanted = self.settings.delivery
        if wanted is None or wanted == "thread":
            return "thread"
        parking = self.worker.parking
        parking.learn()
        return wanted if parking.open and may_hand_over(request.environ) else "thread"

    def release_resources(self) -> None:
        """Return the request's database connections before a long wait inside a view."""
        session = find_session(current_app.extensions.get("sqlalchemy"))
        if session is not None:
            session.remove()
        self.call_before_stream()

    def call_before_stream(self) -> None:
        """Let the site return what it holds, while the request's context is still there."""
        if self.before_stream is not None:
            try:
                self.before_stream()
            except Exception:
                # The answer's headers may be out: there is no other answer to send.
                log.exception("before_stream failed")

    def agent_context(self) -> Context:
        """The request's context variables, but for Flask's own, for the turn's thread."""
        context = Context()
        for variable, value in copy_context().items():
            if not (type(value) in CONTEXTS or is_context(value)):
                context.run(variable.set, value)
        return context

    def app_context(self) -> AbstractContextManager[Any]:
        """A fresh Flask app context."""
        return self.app.app_context()


def _full(error: RequestError) -> str:
    setting, value = error.details["setting"], error.details["value"]
    more = error.details["more_with"]
    return f"streams were refused: {setting} is {value}, and all slots were taken; more with {more}"
