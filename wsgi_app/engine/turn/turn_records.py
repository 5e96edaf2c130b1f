"""What an agent that continues itself, where another worker has stopped, records and reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from wsgi_app.errors import TurnCancelled

if TYPE_CHECKING:
    from wsgi_app.engine.turn.steps import RecordedStep
    from wsgi_app.events import AnyEvent, InputRequest


class Steps(Protocol):
    """What is recorded of a turn's steps, see `TurnSteps`."""

    #: What earlier attempts have recorded.
    recorded: list[RecordedStep]
    #: The question of an earlier attempt that has no answer yet.
    question: InputRequest | None
    #: Whether nothing of the agent runs but what asks.
    stands_still: bool

    @property
    def is_recorded(self) -> bool:
        """Whether another worker may continue what is recorded."""

    @property
    def events(self) -> list[AnyEvent]:
        """All events so far that count."""

    def is_asked_by(self, call_id: str) -> bool:
        """See `TurnRecords.is_asked_by`."""

    def confirm(self) -> Future[None] | None:
        """Show that the turn is still this worker's, if that is not certain; None if it is."""


class RecordsHost(Protocol):
    """What the records need of the engine."""

    @property
    def ended(self) -> bool:
        """Whether the turn has ended."""

    @property
    def steps(self) -> Steps:
        """What is recorded."""

    def start_record(
        self, data: Any, calls: Sequence[str], *, again: bool = False, notes: bool = False
    ) -> Future[None] | None:
        """See `TurnSteps.record`."""

    def wait_written(self, written: Future[None] | None) -> None:
        """Wait for a record; raises TurnCancelled if the turn ends first."""


class TurnRecords:
    """The records of one turn; used from any thread or task of its agent.

    Recording does nothing where no other worker would continue.
    """

    def __init__(self, host: RecordsHost) -> None:
        self._host = host

    @property
    def are_kept(self) -> bool:
        """Whether another worker may continue what is recorded."""
        return self._host.steps.is_recorded

    @property
    def recorded(self) -> list[RecordedStep]:
        """What earlier attempts have recorded."""
        return self._host.steps.recorded

    @property
    def events(self) -> list[AnyEvent]:
        """All events so far that count, those of earlier attempts among them."""
        return self._host.steps.events

    @property
    def question(self) -> InputRequest | None:
        """The question of an earlier attempt that the user has not answered."""
        return self._host.steps.question

    def is_asked_by(self, call_id: str) -> bool:
        """Whether an earlier attempt stopped while the user was asked whether this call may run."""
        return self._host.steps.is_asked_by(call_id)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Say that in this block nothing of the agent runs, whatever calls have no result yet.

        What is asked in it may be left, and answered to another run of the agent.
        """
        self._host.steps.stands_still = True
        try:
            yield
        finally:
            self._host.steps.stands_still = False

    def record(self, data: Any, calls: Sequence[str] = (), *, again: bool = False) -> None:
        """Record what the agent continues from, before these calls run.

        Returns once it is stored, with all that was sent before. ``again``: the agent says
        everything again in its next attempt. Raises TypeError for what is no JSON.
        """
        self._host.wait_written(self._host.start_record(data, calls, again=again))

    async def record_async(self, data: Any, calls: Sequence[str] = ()) -> None:
        """Record like `record`, from a coroutine."""
        await self._wait(self._host.start_record(data, calls))

    async def note(self, data: Any) -> None:
        """Record more about the last step; what was said behind that does not count yet."""
        await self._wait(self._host.start_record(data, (), notes=True))

    def note_soon(self, data: Any) -> None:
        """Note without a wait: it is stored before what is recorded next."""
        self._host.start_record(data, (), notes=True)

    def confirm(self) -> None:
        """Make sure that the turn is this worker's still, before something has an effect.

        Raises TurnCancelled if it is not.
        """
        self._host.wait_written(self._host.steps.confirm())

    async def confirm_async(self) -> None:
        """Confirm like `confirm`, from a coroutine."""
        await self._wait(self._host.steps.confirm())

    async def _wait(self, written: Future[None] | None) -> None:
        if written is None:
            return
        try:
            await asyncio.wrap_future(written)
        except asyncio.CancelledError:
            if not self._host.ended:
                raise
        if self._host.ended:
            raise TurnCancelled
