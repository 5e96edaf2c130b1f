"""Sessions as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from wsgi_app.store.values import Message, SessionKey, SessionPage, SessionState, SessionView

#: How long a turn is found by its name: as turns continue, with the questions that they ask.
NAME_SECONDS = 3600


class SessionOperations(ABC):
    """See `Store`."""

    @abstractmethod
    def state_of(self, key: SessionKey) -> SessionState | None:
        """Describe a session without reading its history; None for an unknown one."""

    @abstractmethod
    def history(self, key: SessionKey) -> SessionView | None:
        """Describe a session with its messages; None for an unknown one.

        They may be many megabytes. Raises RequestError ``at_capacity`` where too many such are
        read at once.
        """

    @abstractmethod
    def turn_note(self, key: SessionKey, turn: int) -> bytes:
        """What was kept with a turn at its beginning; empty if nothing was, or no longer is.

        Turn 0 stands for the session, see `note_session`.
        """

    @abstractmethod
    def note_session(
        self,
        key: SessionKey,
        note: bytes,
        before: bytes | None,
        messages: Sequence[Message] = (),
    ) -> bool:
        """Keep a note with a session as long as it lives; returns whether it has the note now.

        ``before`` is the note that it replaces, empty for none: a session that has
        another, or is unknown, is left alone. With None it is for a new session, which is made
        without a turn, and with ``messages`` as its history: one that is there is left alone. A
        note that no other call brings says who made it.

        Raises RequestError with ``too_many_sessions`` where the tenant may have no more.
        """

    @abstractmethod
    def name_turn(self, key: SessionKey, turn: int, name: str) -> None:
        """Have a turn be found by a name of its tenant's, which may be any text, for a while.

        That is `NAME_SECONDS` from now. A name that is used again stands for the later turn.
        """

    @abstractmethod
    def named_turn(self, tenant: str, name: str) -> tuple[SessionKey, int] | None:
        """Find the turn that a name of this tenant's stands for; it may be gone meanwhile."""

    @abstractmethod
    def list_sessions(self, tenant: str, limit: int, cursor: str | None) -> SessionPage:
        """List a tenant's sessions by creation, newest first, at most ``limit`` (from 1).

        Raises ValueError for a cursor that no ``next_cursor`` was.
        """

    @abstractmethod
    def recent_sessions(self, tenants: Sequence[str], seconds: float) -> list[SessionKey]:
        """List sessions of these tenants that were created within this time, in any order.

        A session may be listed a moment before its first turn has begun, or after its deletion.
        """

    @abstractmethod
    def delete_session(self, key: SessionKey, newest_turn: int | None = None) -> bool:
        """Forget a session; False for an unknown one. A later one of its id starts with turn 1.

        With ``newest_turn`` only while that turn is its newest; False if it is not.

        Turns that run or wait get the cancel flag ``deleted``, as a signal alone; they are fenced
        from then on, and cannot make the session again.
        """
