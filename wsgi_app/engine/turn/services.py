"""What all runs of a worker share, as a turn sees it; the worker provides the parts behind it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Protocol

from wsgi_app.config import Settings
from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.workdir import Workdirs
from wsgi_app.engine.turn.given_files import GivenFiles
from wsgi_app.errors import TurnError
from wsgi_app.store.base import Fence, SessionKey, StepWrite, Store

if TYPE_CHECKING:
    from wsgi_app.metrics.definitions import Metrics


class TurnJournal(Protocol):
    """What a turn needs of the journal that writes its events to the store."""

    def hurry(self, fence: Fence) -> None:
        """Write now: a tool, a question or an end must not wait for the next flush."""

    def record(self, fence: Fence, step: StepWrite) -> Future[None]:
        """Write a step's record, in order, behind all events so far."""

    def confirmed_seconds_ago(self, fence: Fence) -> float:
        """How long ago a write showed that the turn is this worker's."""

    def leave(self, fence: Fence) -> None:
        """Leave a turn that has not begun to other workers: nothing is to be written of it."""

    def check_orphan(self, fence: Fence) -> None:
        """Ask the store whether another worker's readers follow the turn, and inform the turn."""


class AgentObjects(Protocol):
    """Where a turn gets its session's agent."""

    @property
    def shared(self) -> Any:
        """The agent of all sessions, once it is known that there is one."""

    @property
    def known(self) -> Any:
        """The agent of all sessions, or what opens theirs; None while there is none."""

    def take(self, key: SessionKey, wait: Callable[[Future[Any]], Any]) -> Any:
        """The session's agent, made if need be; ``wait`` waits for what is made on a loop."""

    def give_back(self, key: SessionKey, agent: Any) -> None:
        """The turn has come to its end; the agent waits for the session's next one."""


class Services(NamedTuple):
    """What all runs of a worker share."""

    settings: Settings
    metrics: Metrics
    store: Store
    journal: TurnJournal
    io: LoopThread
    agents_loop: LoopThread
    session_agents: AgentObjects
    workdirs: Workdirs
    files: GivenFiles
    #: The error to end with for one that an agent did not raise on purpose, if it is known.
    explain: Callable[[BaseException], Optional[TurnError]]
    #: Takes away what an agent's code wrote that ran on until its session was deleted.
    forget_if_gone: Callable[[Fence], None]
    #: Wakes what waits in this worker for the end of a session's turn.
    wake_waiting: Callable[[SessionKey], None]
    #: Forgets the session of a turn that has ended, in a while.
    forget_later: Callable[[Fence], None]
    #: Whether other workers continue turns of this one.
    resumes: bool = False
    #: What they must be of to do so: the version of package and site.
    code: str = ""
