"""The steps of one turn: what is recorded of them, so that another worker can continue."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from wsgi_app.engine.turn.clock import TurnClock
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.services import Services
from wsgi_app.engine.turn.steps import RecordedStep, StepRecord, recorded_steps
from wsgi_app.engine.turn.stored_request import MAX_REQUEST_BYTES, encode_request, may_be_kept
from wsgi_app.events import AnyEvent, InputRequest, NumberedEvent, Usage, encode_json
from wsgi_app.store.base import Fence, StepWrite

#: A worker whose last write is older than this share of a lease asks before it runs a tool: it may
#: have stood still, and the turn be another's.
FRESH_SHARE: Final = 0.3
#: The store forgets what it has of a turn whose records have a hole.
NEVER_THE_NEXT: Final = 1_000_000


class Progress(NamedTuple):
    """How far a turn came on other workers."""

    #: Which attempt this is, from 2 on.
    attempt: int
    #: All of its journal.
    events: Sequence[NumberedEvent]
    records: Sequence[StepRecord]
    seconds_left: float
    #: The question that waits for its answer.
    question: InputRequest | None = None
    #: How many of the attempts were no other worker's, but this one's behind a long wait.
    rests: int = 0


class TurnSteps:
    """Used by the turn's thread and its tools'; ``_lock`` guards the counts."""

    def __init__(  # noqa: PLR0913 - what a record is made of, named by its one caller
        self,
        fence: Fence,
        request: TurnRequest,
        services: Services,
        *,
        log: EventLog,
        clock: TurnClock,
        progress: Progress | None,
    ) -> None:
        self._fence = fence
        self._request = request
        self._services = services
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        records = progress.records if progress else ()
        #: Which worker's the turn is, in their order from 1.
        self.attempt = progress.attempt if progress else 1
        self.rests = progress.rests if progress else 0
        #: See `TurnRecords.standing_still`.
        self.stands_still = False
        #: What earlier attempts have recorded.
        self.recorded: list[RecordedStep] = (
            recorded_steps(records, progress.events) if progress else []
        )
        #: The question of an earlier attempt that has no answer yet.
        self.question = progress.question if progress else None
        self._count = len(records)
        #: How many events there were at the last step, and its calls.
        self._last: tuple[int | None, list[str]] = (0, [])
        if records:
            self._last = (records[-1].events, records[-1].calls)
        self._known_kept: set[str] = set()
        for record in records:
            self._known_kept |= record.kept.keys()
        #: Whether another worker could continue the turn as it is.
        self._is_known = request.resumes or bool(progress)
        self._is_recorded = services.resumes and may_be_kept(request)
        #: Whether the agent continues itself; of one that a factory makes, known once it is made.
        self.agent_resumes = self._is_known

    @property
    def can_be_resumed(self) -> bool:
        """Whether another worker may continue the turn, if this one leaves it."""
        return (
            self._is_recorded
            and self._is_known
            and self.attempt - self.rests < self._services.settings.max_attempts
        )

    @property
    def is_recorded(self) -> bool:
        """Whether another worker may continue what is recorded."""
        return self._is_recorded and self.agent_resumes

    @property
    def events(self) -> list[AnyEvent]:
        """All events so far that count."""
        return self._log.events()

    @property
    def count(self) -> int:
        """How many records there are."""
        return self._count

    def is_asked_by(self, call_id: str) -> bool:
        """See `TurnRecords.is_asked_by`."""
        schema = self.question.schema if self.question is not None else UNSET
        return schema is not UNSET and schema.get("x-call-id") == call_id

    def record(  # noqa: PLR0913 - the parts of a record, named by its one caller
        self,
        data: Any,
        calls: Sequence[str],
        usage: Usage,
        kept: Mapping[str, Any],
        *,
        again: bool,
        notes: bool = False,
    ) -> Future[None] | None:
        """Record a step behind all events so far; the future says when it is in the store.

        ``again``: the agent says everything again in its next attempt. ``notes``: it is no step,
        but belongs to the last one. None where no other worker would continue. Raises TypeError for
        data that is no JSON.
        """
        if not self._is_recorded:
            return None
        # What is said again would ask the client again to run its tools.
        if self._request.client_tools if again else not self.agent_resumes:
            return self._forget()
        if not notes:
            self._last = (None if again else self._log.last_seq, list(calls))
        with self._lock:
            self._count += 1
            number = self._count
            new = {name: kept[name] for name in kept.keys() - self._known_kept}
            self._known_kept |= new.keys()
        record = StepRecord(
            events=self._last[0],
            calls=self._last[1],
            data=data,
            usage=usage,
            kept=new,
            paused_seconds=self._clock.paused_seconds,
        )
        request = b"" if self._is_known else encode_request(self._request, self._services.code)
        if len(request) > MAX_REQUEST_BYTES:
            return self._forget()
        written = self._services.journal.record(
            self._fence, StepWrite(number, encode_json(record), request)
        )
        self._is_known = True
        return written

    def _forget(self) -> Future[None] | None:
        """Have no other worker continue: it would run calls again of which nothing is recorded."""
        self._is_recorded = False
        if not self._is_known:
            return None
        self._is_known = False
        return self._services.journal.record(self._fence, StepWrite(NEVER_THE_NEXT, b""))

    def confirm(self) -> Future[None] | None:
        """Show that the turn is still this worker's, if that is not certain; None if it is."""
        if not self._is_recorded:
            return None
        fresh_seconds = FRESH_SHARE * self._services.settings.lease_seconds
        if self._services.journal.confirmed_seconds_ago(self._fence) < fresh_seconds:
            return None
        return self._services.journal.record(self._fence, StepWrite(0, b""))
