"""Turns go to the worker that has their session's agent, no matter which worker receives them.

An agent that belongs to one session (it has ``close()``, see `SessionAgents`) has state: a
browser's page, a server of tools with its history. A turn of such a session that comes to another
worker is begun in the owner's name and offered to it. The owner takes it within milliseconds, and
this worker's readers follow it in the journal, without a thread at either end. An owner that is
gone, full or about to leave does not take it: then it runs here, on a new object, and a
status says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, Optional

import msgspec

from wsgi_app.engine.runtime.loop import LoopThread
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.stored_request import decode_request, encode_request
from wsgi_app.engine.worker.session_agents import SessionAgents
from wsgi_app.errors import Fenced, RequestError, StoreUnavailable
from wsgi_app.store.base import Fence, Message, SessionKey, Store
from wsgi_app.store.offers import Taken

log = logging.getLogger("wsgi_app")

#: How long an owner may take to take a turn; it needs some milliseconds.
TAKE_SECONDS: Final = 0.25
#: How often a turn that no worker took is tried again here, each after `TAKE_SECONDS`: the store
#: may not answer, or this worker be full.
MAX_TRIES: Final = 120
#: For how long a worker counts as alive that was: the limit above finds out the rest.
ALIVE_SECONDS: Final = 1.0
#: The status for the user when the owner did not take it.
BEGAN_AGAIN: Final = "The session continues in another process: its tools have started again."


#: A request that was taken, and the history that it starts with; None while it is queued.
Adopted = tuple[TurnRequest, Optional[list[Message]]]


class Affinity:
    """Decides where a turn runs, and hands it over. Used by any thread."""

    def __init__(  # noqa: PLR0913 - what a turn's place depends on, named by its one caller
        self,
        store: Store,
        worker_id: str,
        io: LoopThread,
        agents: SessionAgents,
        run_taken: Callable[[Fence, Callable[[], Adopted | None]], None],
        *,
        wanted: bool,
    ) -> None:
        """``run_taken`` runs a turn here if the callable that it gets takes one.

        It raises RequestError, without the call, where this worker takes no more turns.
        """
        self._offers = store.offers if wanted else None
        #: Whether turns are offered to other workers at all.
        self.is_offered = self._offers is not None
        self._store = store
        self._worker_id = worker_id
        self._io = io
        self._agents = agents
        self._run_taken = run_taken
        #: When each living worker was seen; replaced whole.
        self._alive: dict[str, float] = {}
        #: Opens what the agents of turns run in that come from other workers.
        self.app_context: Callable[[], AbstractContextManager[Any]] = nullcontext

    def find_owner(self, key: SessionKey, request: TurnRequest) -> tuple[str, TurnRequest]:
        """The other worker that should run a turn ('': this one), and the request for it.

        Costs nothing where one agent answers all sessions, or the session's is here.
        """
        stays = request.agent is not None or request.ephemeral or self._offers is None
        stays = stays or bool(request.attachments)  # their bytes are not for the store
        if stays or not self._agents.may_have_state or self._agents.has(key):
            return "", request
        view = self._store.state_of(key)
        if view is None or view.owner in ("", self._worker_id):
            return "", request
        if self._is_alive(view.owner):
            return view.owner, request
        return "", msgspec.structs.replace(request, notice=BEGAN_AGAIN)

    def start_here(self, key: SessionKey, request: TurnRequest) -> TurnRequest:
        """The request of a turn that starts here, of a session that was another worker's.

        This worker's agent for it is an old one: it was asleep, and has not yet had the signal
        that the session moved.
        """
        if not self._agents.has(key):
            return request
        self._agents.discard(key)
        notice = request.notice if self._offers is None else BEGAN_AGAIN
        return msgspec.structs.replace(request, notice=notice)

    def offer(self, fence: Fence, owner: str, request: TurnRequest) -> None:
        """Hand over a turn that was begun in the owner's name; it runs here if not taken."""
        take_back = partial(self._take_back, fence, request, MAX_TRIES)
        try:
            if self._offers is not None:
                self._offers.offer(fence, owner, encode_request(request))
        except StoreUnavailable:
            pass  # it may have been offered or not: the next take finds out
        except Fenced:
            return  # deleted meanwhile
        self._io.call_later(TAKE_SECONDS, lambda: _start(take_back))

    def adopt(self, fence: Fence) -> None:
        """Take a turn that was offered to this worker, in a thread of its own."""
        _start(lambda: self._adopt(fence))

    def _adopt(self, fence: Fence) -> None:
        def take() -> Adopted | None:
            taken = self._take(fence, offered=True)
            return None if taken is None else (self._complete(taken.request), taken.history)

        try:
            self._run_taken(fence, take)
        except (Fenced, RequestError) as error:
            log.info("a turn stays with the worker that received it: %r", error)

    def _take_back(self, fence: Fence, request: TurnRequest, tries: int) -> None:
        def take() -> Adopted | None:
            taken = self._take(fence, offered=False)
            adopted = msgspec.structs.replace(request, notice=BEGAN_AGAIN, adopted=True)
            return None if taken is None else (adopted, taken.history)

        try:
            self._run_taken(fence, take)
        except Fenced:
            return  # it has ended
        except RequestError as error:
            if tries:
                again = partial(self._take_back, fence, request, tries - 1)
                self._io.call_later(TAKE_SECONDS, lambda: _start(again))
            else:
                log.warning("a turn that was handed over is lost: %s", error.code)

    def _complete(self, offered: bytes) -> TurnRequest:
        return decode_request(offered, self.app_context)[0]

    def _take(self, fence: Fence, *, offered: bool) -> Taken | None:
        if self._offers is None:
            return None
        return self._offers.take(fence, self._worker_id, offered=offered)

    def _is_alive(self, worker_id: str) -> bool:
        """Whether a worker lives, as of the last second at most."""
        now = time.monotonic()
        if now - self._alive.get(worker_id, -ALIVE_SECONDS) < ALIVE_SECONDS:
            return True
        self._alive = {worker.worker_id: now for worker in self._store.workers()}
        return worker_id in self._alive


def _start(work: Callable[[], None]) -> None:
    start_thread(work, "affinity")
