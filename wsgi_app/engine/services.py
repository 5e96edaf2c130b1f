"""What all runs of a worker share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Optional

from wsgi_app.config import Settings
from wsgi_app.engine.ephemeral import EphemeralSessions
from wsgi_app.engine.journal import Journal
from wsgi_app.engine.loop import LoopThread
from wsgi_app.engine.session_agents import SessionAgents
from wsgi_app.engine.workdir import Workdirs
from wsgi_app.errors import TurnError
from wsgi_app.store.base import Store


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
    #: Whether other workers go on with turns of this one.
    resumes: bool = False
    #: What they must be of to do so: the version of package and site.
    code: str = ""
