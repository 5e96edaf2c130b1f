"""What a heartbeat reports of a worker's turns, and what it brings them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wsgi_app.engine.worker.about import AboutWorker
from wsgi_app.engine.worker.following import Following
from wsgi_app.engine.worker.journal import Journal
from wsgi_app.engine.worker.live import LiveTurns
from wsgi_app.engine.worker.run_table import RunTable
from wsgi_app.store.base import Fence, Heartbeat, SessionKey, WorkerInfo


class WorkerTurns:
    """The `HeartbeatSource` of a worker, called by the heartbeat's thread alone."""

    def __init__(  # noqa: PLR0913 - the parts that a heartbeat speaks of, by name
        self,
        about: AboutWorker,
        *,
        runs: RunTable,
        journal: Journal,
        following: Following,
        live: LiveTurns,
        tidy: Sequence[Callable[[], None]],
    ) -> None:
        """``tidy``: each returns what has not been used for a while."""
        self._about = about
        self._runs = runs
        self._journal = journal
        self._following = following
        self._live = live
        self._tidy = tidy

    def fences(self) -> list[Fence]:
        """See `HeartbeatSource.fences`."""
        return self._journal.fences()

    def followed_sessions(self) -> list[SessionKey]:
        """See `HeartbeatSource.followed_sessions`."""
        return self._following.keys()

    def info(self) -> WorkerInfo:
        """See `HeartbeatSource.info`."""
        about = self._about.describe(len(self.fences()), draining=self._runs.closed)
        return self._live.add_to(about, self._runs.all)

    def take_heartbeat(self, beat: Heartbeat) -> None:
        """See `HeartbeatSource.take_heartbeat`."""
        self._live.observed = beat.observed
        self._following.note(beat.followed)
        for fence, reason in beat.cancels.items():
            run = self._runs.find(fence.key, fence.turn)
            if run is not None:
                run.cancel(reason)
        asking = [run.fence for run in self._runs.all() if run.questions.waiting]
        for fence in (*beat.fenced, *asking):
            # The journal finds out what has become of it, and takes an answer whose signal was
            # lost.
            self._journal.hurry(fence)

    def close_idle(self) -> None:
        """See `HeartbeatSource.close_idle`."""
        for tidy in self._tidy:
            tidy()
