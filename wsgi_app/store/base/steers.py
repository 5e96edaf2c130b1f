"""Messages to a turn that runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, NamedTuple

from wsgi_app.events import EventId
from wsgi_app.store.values import Fence, SessionKey

#: How many messages a turn may be sent while it runs.
MAX_STEERS: Final = 20


class PostedSteer(NamedTuple):
    """Where a message to a running turn went; its event will stand behind ``after``."""

    turn: int
    after: EventId


class SteerOperations(ABC):
    """See `Store`.

    A message is *posted*, then *taken* by the turn's worker, which writes its event to the journal
    or refuses it. All messages of a turn are gone with its end.
    """

    @abstractmethod
    def post_steer(
        self, key: SessionKey, steer_id: str, message: bytes, *, follower: str = ""
    ) -> PostedSteer:
        """Post a message to the turn that runs, once for each id.

        ``follower``: a worker that is signalled the turn's events, see `follow`. Raises
        RequestError ``not_steerable`` where no turn runs, or it is to be cancelled, and
        ``queue_full`` behind `MAX_STEERS`.
        """

    @abstractmethod
    def has_steer(self, key: SessionKey, turn: int, steer_id: str) -> bool:
        """Whether a message is still there; the turn's worker is signalled again until it takes it.

        Without it the turn has refused it, or has ended: where its event is not in the journal, it
        never reached the turn.
        """

    @abstractmethod
    def withdraw_steer(self, key: SessionKey, turn: int, steer_id: str) -> bool:
        """Take a message back; False once the turn's worker has taken it."""

    @abstractmethod
    def take_steers(self, fence: Fence) -> list[tuple[str, bytes]]:
        """Take all messages of the running turn, with their ids, in order; again at each call.

        Raises Fenced when the turn does not run.
        """

    @abstractmethod
    def refuse_steer(self, fence: Fence, steer_id: str) -> None:
        """Forget a message that the turn does not take."""

    @abstractmethod
    def note_key(
        self, key: SessionKey, turn: int, idempotency_key: str, request_digest: str
    ) -> None:
        """Assign an idempotency key to this turn, unless it is known; see `begin_turn`."""
