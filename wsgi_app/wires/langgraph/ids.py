"""Names of runs, checkpoints and events that say where to look, so that any worker knows them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FORM: Final = re.compile(
    r"([0-9a-f]{8})-([0-9a-f]{4})-(8000|8001)-8000-([0-9a-f]{12})\Z", re.ASCII
)
_RUN: Final = "8000"
_CHECKPOINT: Final = "8001"
_MAX_PART: Final = 0xFFFF
#: An event's number is its turn's, its own in it, and its place among those made of the same one:
#: one integer, of 53 bits, as JavaScript has them.
_SEQ_BITS: Final = 27
_INDEX_BITS: Final = 7
_MAX_SEQ: Final = (1 << _SEQ_BITS) - 1
_MAX_INDEX: Final = (1 << _INDEX_BITS) - 1
_MAX_TURN: Final = (1 << (53 - _SEQ_BITS - _INDEX_BITS)) - 1


class RunRef(NamedTuple):
    """A turn up to its first question, or from one to the next; a UUID for clients."""

    turn: int
    #: How many questions came before.
    part: int
    #: Of the turn's run, see `wsgi_app.store.values.mark_of`.
    mark: str

    @property
    def id(self) -> str:
        """The run's id; opaque to clients."""
        return _uuid(self.turn, self.part, _RUN, self.mark)

    @classmethod
    def parse(cls, text: str) -> RunRef:
        """Read an id; raises ValueError for anything that `id` does not make."""
        return cls(*_parts(text, _RUN))


class CheckpointRef(NamedTuple):
    """A state of the thread; a UUID for clients, whose order is that of the states."""

    turn: int
    #: 0 before the turn, 1 with the user's message, and so on.
    step: int
    mark: str

    @property
    def id(self) -> str:
        """The checkpoint's id."""
        return _uuid(self.turn, self.step, _CHECKPOINT, self.mark)

    @property
    def number(self) -> int:
        """What the protocol calls the step: it grows through the thread."""
        return self.turn * (_MAX_PART + 1) + self.step

    @classmethod
    def parse(cls, text: str) -> CheckpointRef:
        """Read an id; raises ValueError for anything that `id` does not make."""
        return cls(*_parts(text, _CHECKPOINT))

    def last(self) -> CheckpointRef:
        """The state when the turn has ended."""
        return self._replace(step=_MAX_PART)

    def before(self) -> CheckpointRef:
        """The state before this one, of the same turn or in front of it."""
        return self._replace(step=max(0, self.step - 1))


def _uuid(turn: int, part: int, kind: str, mark: str) -> str:
    return f"{turn:08x}-{min(part, _MAX_PART):04x}-{kind}-8000-{mark}"


def _parts(text: str, kind: str) -> tuple[int, int, str]:
    match = _FORM.match(text)
    if match is None or match[3] != kind:
        raise ValueError("not an id of the host's")
    return int(match[1], 16), int(match[2], 16), match[4]


def event_number(turn: int, seq: int, index: int) -> int:
    """The event's number in its thread, the same on every worker and connection."""
    return (
        (turn << _SEQ_BITS + _INDEX_BITS)
        | (min(seq, _MAX_SEQ) << _INDEX_BITS)
        | min(index, _MAX_INDEX)
    )


def turn_of(number: int) -> int:
    """The turn of an event's number."""
    return min(number >> _SEQ_BITS + _INDEX_BITS, _MAX_TURN)
