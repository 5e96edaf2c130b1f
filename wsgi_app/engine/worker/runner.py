"""The turns of this worker: admission, look-up, cancel."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from wsgi_app.config import Settings
from wsgi_app.engine.runtime.loops import Loops
from wsgi_app.engine.runtime.workdir import Workdirs
from wsgi_app.engine.turn.given_files import GivenFiles
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.run import BegunTurn, TurnRun
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.stored_request import code_of, keep_for_others
from wsgi_app.engine.turn.turn import Agent
from wsgi_app.engine.turn.turn_steps import Progress
from wsgi_app.engine.worker.abandoned import Abandoned
from wsgi_app.engine.worker.about import AboutWorker
from wsgi_app.engine.worker.affinity import Adopted, Affinity
from wsgi_app.engine.worker.births import Births
from wsgi_app.engine.worker.cancels import CANCEL_WAIT_SECONDS, Cancels
from wsgi_app.engine.worker.ephemeral import EphemeralSessions
from wsgi_app.engine.worker.following import Following
from wsgi_app.engine.worker.forgetting import delete_session, forget_if_gone
from wsgi_app.engine.worker.heartbeat import HeartbeatThread
from wsgi_app.engine.worker.heartbeat_source import WorkerTurns
from wsgi_app.engine.worker.journal import Journal
from wsgi_app.engine.worker.live import LiveTurns
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.engine.worker.session_agents import SessionAgents
from wsgi_app.engine.worker.signals import Signals, wake_waiting
from wsgi_app.engine.worker.steers import Steers
from wsgi_app.engine.worker.takeover import Takeover
from wsgi_app.errors import RequestError, TurnError
from wsgi_app.events import CancelReason, Error
from wsgi_app.metrics import metrics
from wsgi_app.store.base import (
    Fence,
    Message,
    SessionKey,
    StartRate,
    Store,
)

IDLE_POLL_SECONDS = 0.02


class Runner:
    """All turns that this worker runs.

    Touched by every request thread and by the store's signals; its parts guard themselves.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        make_agent: Callable[[], Agent],
        about: AboutWorker | None = None,
        explain: Callable[[BaseException], TurnError | None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.store = store
        self._about = about or AboutWorker()
        self.worker_id, self.pid = self._about.worker_id, self._about.pid
        self._run_name = secrets.token_hex(8)
        self._run_numbers = itertools.count(1)
        self.following = Following(store, self.worker_id)
        self._runs = RunTable(settings.max_turns)
        self.births = Births(store)
        self.loops = Loops()
        self._journal = Journal(store, settings.host)
        self._takeover = self._make_takeover(store, settings)
        self._session_agents = SessionAgents(make_agent, settings.idle_seconds, self.loops.agents)
        self._ephemeral = EphemeralSessions(store)
        #: Where agents' files go.
        self.files = GivenFiles(settings)
        self._services = Services(
            settings=settings,
            metrics=metrics(settings.host),
            store=store,
            journal=self._journal,
            io=self.loops.io,
            agents_loop=self.loops.agents,
            session_agents=self._session_agents,
            workdirs=Workdirs(settings.workdir, settings.host),
            files=self.files,
            explain=explain,
            forget_if_gone=partial(forget_if_gone, store, self._session_agents, settings.host),
            wake_waiting=partial(wake_waiting, self.following, self._runs),
            forget_later=self._ephemeral.add,
            resumes=self._takeover is not None,
            code=code_of(settings),
        )
        #: Called now and then: each returns what has not been used for a while.
        self.tidy = [self._session_agents.close_idle, self._ephemeral.sweep]
        self._live, self._hands_over = LiveTurns(), False
        #: Whether this worker is about to leave.
        self.draining = False
        self.heartbeat = HeartbeatThread(
            store,
            self.worker_id,
            settings,
            WorkerTurns(
                self._about,
                runs=self._runs,
                journal=self._journal,
                following=self.following,
                live=self._live,
                tidy=self.tidy,
            ),
            self._takeover,
        )
        self._cancels = Cancels(store, self._runs, self.following, self.worker_id, settings.host)
        #: What users say to turns while they run.
        self.steers = Steers(
            *(store, self._runs, self._journal, self.following, self._cancels),
            *(self.worker_id, settings.lease_seconds),
        )
        self.abandoned = Abandoned(self._runs, settings.max_turns_per_tenant)
        self.affinity = Affinity(
            store,
            self.worker_id,
            self.loops.io,
            self._session_agents,
            self._run_taken,
            wanted=settings.affinity == "owner",
        )
        #: Called before the loops end, with the seconds that each may take.
        self.before_close: list[Callable[[float], None]] = []

    def start(self) -> None:
        """Listen to the store's signals, before the first turn; `close` ends it."""
        signals = Signals(
            self._runs,
            self._journal,
            self.following,
            self._session_agents,
            self.affinity,
            self.heartbeat.beat_soon,
        )
        self.store.listen(signals.take, self.worker_id, self._resync)
        self.heartbeat.look_after_others()

    def _make_takeover(self, store: Store, settings: Settings) -> Takeover | None:
        if store.resumes is None or settings.max_attempts == 1:
            return None
        return Takeover(
            store.resumes,
            self.worker_id,
            code=code_of(settings),
            turn_timeout_seconds=settings.turn_timeout_seconds,
            app_context=lambda: self.affinity.app_context(),  # noqa: PLW0108 - it is set later
            run=self._run_resumed,
        )

    @property
    def agent(self) -> Any:
        """The agent of all sessions, if there is one; None before it is made."""
        return self._session_agents.known

    def begin(
        self, key: SessionKey, request: TurnRequest, rate: StartRate | None = None
    ) -> BegunTurn:
        """Claim the session's next turn; its run waits for `TurnRun.start`.

        Raises RequestError when this worker or the store refuses; then nothing has begun.
        """
        if len(self._runs.leaving) >= self.settings.max_turns_per_tenant:
            self.abandoned.check_abandoned(key.tenant)
        self._runs.begin(key)
        try:
            if not self.heartbeat.has_started:
                self.heartbeat.start()
            return self._begin(key, request, rate)
        finally:
            self._runs.begun(key)

    def _begin(self, key: SessionKey, request: TurnRequest, rate: StartRate | None) -> BegunTurn:
        owner = ""
        if self.affinity.is_offered:
            owner, request = self.affinity.find_owner(key, request)
        # Counted, since random bytes cost a call of the system.
        run_id = f"{self._run_name}-{next(self._run_numbers)}"
        claim = request.claim(key, run_id, owner or self.worker_id, rate)
        if self._takeover is not None and self._session_agents.resumes and not owner:
            request, claim = keep_for_others(request, claim, self._services.code)
        try:
            begun = self.store.begin_turn(claim)
        except RequestError as error:
            # The turn in the way may be a dead worker's.
            if error.code != "session_busy" or not self.heartbeat.settle(key):
                raise
            begun = self.store.begin_turn(claim)
        if begun.state == "attached":
            return BegunTurn(begun.turn, None)
        fence = Fence(key, begun.turn, run_id)
        if self.births.wakers:
            self.births.wake(key)
        if owner:
            regenerates = request.regenerates and begun.state == "started"
            self.affinity.offer(fence, owner, replace(request, regenerates=regenerates))
            return BegunTurn(begun.turn, None, begun.starts)
        history = begun.history if begun.state == "started" else None
        if begun.owner_before not in ("", self.worker_id):
            request = self.affinity.start_here(key, request)
        run = self._add_run(fence, request, history)
        if begun.followed:
            self._journal.follow(fence)
        return BegunTurn(begun.turn, run, begun.starts)

    def _add_run(
        self,
        fence: Fence,
        request: TurnRequest,
        history: list[Message] | None,
        progress: Progress | None = None,
    ) -> TurnRun:
        if request.attachments:
            request = self.files.bound(fence.key, request)
        run = TurnRun(fence, request, self._services, history, progress)
        self._live.note(begun=1)
        early = self._runs.add(run)
        self._journal.add(run)
        if early is not None:
            run.cancel(early)
        return run

    def _run_taken(self, fence: Fence, take: Callable[[], Adopted | None]) -> None:
        """Run a turn that another worker has begun, or that this one takes back."""
        self.heartbeat.start()

        self._run_resumed(fence.key, lambda: (taken := take()) and (fence, *taken))

    def _run_resumed(self, key: SessionKey, take: Callable[[], Any]) -> bool:
        """Run what ``take`` gets from another worker; False for nothing."""
        self.abandoned.check_abandoned(key.tenant)
        self._runs.begin(key)
        try:
            taken = take()
            if taken is None:
                return False
            run = self._add_run(*taken)
        finally:
            self._runs.begun(key)
        self._journal.follow(run.fence)  # for its readers
        run.readers.wait_again()
        run.start()
        return True

    def find(self, key: SessionKey, turn: int) -> TurnRun | None:
        """Find a turn that this worker runs, until its end is out."""
        return self._runs.find(key, turn)

    def cancel(
        self,
        key: SessionKey,
        turn: int | None,
        reason: CancelReason,
        wait_seconds: float = CANCEL_WAIT_SECONDS,
    ) -> list[int]:
        """End the named turn, or all that run and wait, and wait for the end.

        Returns their numbers, lowest first. Turns of this worker end without the store; raises
        StoreUnavailable only if there is none of them.
        """
        return self._cancels.cancel(key, turn, reason, wait_seconds)

    def delete_session(self, key: SessionKey, wait_seconds: float = CANCEL_WAIT_SECONDS) -> bool:
        """End what runs and forget the session, see `forgetting.delete_session`."""
        self.cancel(key, None, "deleted", wait_seconds)
        name = SessionName(self.settings.host, *key)
        return delete_session(self.store, self._session_agents, name, wait_seconds)

    def follow(self, key: SessionKey, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when a turn of another worker has more; raises StoreUnavailable."""
        self.heartbeat.start()  # its heartbeat renews the interest
        self.following.join(key, wake)

    def is_asked(self, key: SessionKey, turn: int, request_id: str) -> bool:
        """Whether a question still waits, as far as this worker knows."""
        run = self.find(key, turn)
        return run is None or run.questions.is_pending(request_id)

    def settle(self, key: SessionKey) -> None:
        """End what a dead worker has left running in a session; raises StoreUnavailable."""
        self.heartbeat.settle(key)

    @property
    def warnings(self) -> list[str]:
        """Warnings about this worker."""
        abandoned = self.abandoned.count()
        threads = f"{abandoned} agent threads still run after their turn has ended"
        return [*([threads] if abandoned else []), *self.loops.warnings()]

    def fences(self) -> list[Fence]:
        """The turns that run or wait here, or whose end is not yet written."""
        return self._journal.fences()

    # -- leaving

    def stop_admitting(self) -> None:
        """Refuse new turns, and send readers of other workers' turns elsewhere."""
        self.draining = True
        self._runs.close()
        self.following.wake_all()
        self.births.wake_all()

    def end_turns(self, error: Error) -> int:
        """End all turns with this error but those that others can continue; counts the latter."""
        runs = self._runs.all()
        remaining = [run for run in runs if not run.hand_over()]
        for run in remaining:
            run.end_with(error)
        self._hands_over = len(remaining) < len(runs)
        return len(runs) - len(remaining)

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until no turn runs here and everything is written; False when time is over."""
        deadline = time.monotonic() + timeout_seconds
        while self._runs.is_beginning or self.fences():
            if time.monotonic() >= deadline:
                return False
            time.sleep(IDLE_POLL_SECONDS)
        return True

    def close(self, timeout_seconds: float) -> None:
        """Close agents, sign off and end the threads; turns have ended before."""
        deadline = time.monotonic() + timeout_seconds
        if self._hands_over:
            self.heartbeat.stop(timeout_seconds / 2, hands_over=True)
        for finish in self.before_close:
            finish(timeout_seconds / 2)
        self._session_agents.close_all(max(0.1, deadline - time.monotonic()))
        for part in (self.births, self._journal, self.heartbeat, self.loops):
            part.stop(max(0.1, deadline - time.monotonic()))
        self.store.close()

    def _resync(self) -> None:
        self.heartbeat.beat_soon()
        self.following.wake_all()
        self.births.wake_all()
