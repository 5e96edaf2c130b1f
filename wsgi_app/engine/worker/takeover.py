"""Continues the turns of workers that are gone."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

import msgspec

from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.steps import (
    decode_records,
    last_that_counts,
    number_events,
    steers_to_repeat,
    withdraw,
)
from wsgi_app.engine.turn.stored_request import decode_request
from wsgi_app.engine.turn.turn_steps import Progress
from wsgi_app.engine.worker.affinity import BEGAN_AGAIN
from wsgi_app.errors import Fenced, RequestError, StoreUnavailable
from wsgi_app.events import AnyEvent, InputRequest, Status, encode_event
from wsgi_app.store.base import Fence, Message, SessionKey
from wsgi_app.store.resumes import LostTurn, Resumes
from wsgi_app.store.values import next_run_id

log = logging.getLogger("wsgi_app")

#: What its readers see.
TAKEN_OVER: Final = "The worker that ran this turn is gone: another one continues it."


class TakenOver(NamedTuple):
    """A turn that is this worker's now."""

    fence: Fence
    request: TurnRequest
    #: None of one that waits for its place.
    history: list[Message] | None
    progress: Progress | None


class Takeover:
    """Takes such turns, one after the other. Used by the heartbeat's thread and by requests'."""

    def __init__(  # noqa: PLR0913 - what a turn's run needs, named by its one caller
        self,
        resumes: Resumes,
        worker_id: str,
        *,
        code: str,
        turn_timeout_seconds: float,
        app_context: Callable[[], AbstractContextManager[Any]],
        run: Callable[[SessionKey, Callable[[], TakenOver | None]], bool],
    ) -> None:
        """``run`` runs a turn here if the callable that it gets takes one; returns whether it did.

        It raises RequestError, without the call, where this worker takes no more turns.
        """
        self._resumes = resumes
        self._worker_id = worker_id
        self._code = code
        self._turn_timeout_seconds = turn_timeout_seconds
        self._app_context = app_context
        self._run = run

    def take_from(self, worker_id: str) -> int:
        """Continue a dead worker's turns; returns how many. Raises StoreUnavailable."""
        return self._take_all(self._resumes.of_worker(worker_id))

    def take_in(self, key: SessionKey) -> int:
        """Continue a session's turns that no living worker owns. Raises StoreUnavailable."""
        return self._take_all(self._resumes.of_session(key))

    def _take_all(self, runs: Sequence[tuple[SessionKey, str]]) -> int:
        # In any request: other workers look for the same ones at the same time.
        return sum(self._take_safely(*run) for run in random.sample(runs, len(runs)))

    def _take_safely(self, key: SessionKey, run_id: str) -> bool:
        try:
            found = self._resumes.look(key, run_id)
            return found is not None and self._run(key, lambda: self._take(found))
        except StoreUnavailable:
            raise
        except RequestError as error:
            log.info("a turn is left to other workers: %s", error.code)
        except Fenced:
            pass  # it has ended meanwhile
        except msgspec.MsgspecError:
            log.warning("a turn of another version of this package is left to other workers")
        return False

    def _take(self, found: LostTurn) -> TakenOver | None:
        request, code = decode_request(found.resume, self._app_context)
        if code != self._code:
            log.warning("a turn of another code version, %r, is left to workers that have it", code)
            return None
        if found.elapsed_seconds is None:
            return self._take_waiting(found, request)
        records = decode_records(found.records)
        events = number_events(found.fence.turn, self._resumes.events(found))
        if len(events) != found.stored:
            return None
        paused_seconds = records[-1].paused_seconds if records else 0.0
        seconds_left = self._turn_timeout_seconds - found.elapsed_seconds + paused_seconds
        after = last_that_counts(found.fence.turn, records, events)
        again = steers_to_repeat(events, after)
        withdrawn = withdraw(events, after)
        added: list[AnyEvent] = [withdrawn, Status(TAKEN_OVER), *again]
        added_json = [encode_event(event) for event in added]
        run_id = next_run_id(found.fence.run_id, found.attempt + 1, secrets.token_hex(4))
        taken = self._resumes.take(found, self._worker_id, run_id, added_json)
        if taken is None:
            return None
        new = number_events(found.fence.turn, [*(one.json for one in events), *added_json])
        log.warning(
            "turn %d of %s continues here, attempt %d",
            *(found.fence.turn, found.fence.key.session_id, found.attempt + 1),
        )
        questions = (
            one.event
            for one in events
            if isinstance(one.event, InputRequest) and one.event.request_id == found.question
        )
        progress = Progress(
            found.attempt + 1, new, records, max(0.0, seconds_left), next(questions, None)
        )
        return TakenOver(taken.fence, _resumed(request), taken.history, progress)

    def _take_waiting(self, found: LostTurn, request: TurnRequest) -> TakenOver | None:
        """Take a turn that has not begun."""
        run_id = next_run_id(found.fence.run_id, found.attempt, secrets.token_hex(4))
        taken = self._resumes.take(found, self._worker_id, run_id, ())
        if taken is None:
            return None
        waiting = msgspec.structs.replace(_resumed(request), regenerates=False)
        return TakenOver(taken.fence, waiting, None, None)


def _resumed(request: TurnRequest) -> TurnRequest:
    """The request as this worker runs it."""
    return msgspec.structs.replace(
        request, resumes=True, asked_at=time.monotonic(), notice=BEGAN_AGAIN
    )
