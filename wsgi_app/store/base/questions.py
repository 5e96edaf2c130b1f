"""A turn's questions to its user, and their answers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from wsgi_app.store.values import Fence, SessionKey


class QuestionOperations(ABC):
    """See `Store`."""

    @abstractmethod
    def open_input(self, fence: Fence, request_id: str) -> None:
        """Make this the session's pending question, replacing an earlier one.

        Until its answer is taken, or it is closed, the turn counts among those that ask, while
        these are fewer than their bound, and not among the tenant's running ones.

        Raises Fenced when the turn does not run.
        """

    @abstractmethod
    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        """Answer the pending question; raises RequestError ``no_pending_input``.

        A question accepts one answer: another, even an equal one, is refused.
        """

    @abstractmethod
    def take_input(self, fence: Fence, request_id: str) -> bytes | None:
        """Take the answer; None while there is none. Raises Fenced when the turn does not run.

        It may be taken again until the question is closed, replaced or its turn has ended. A
        question that was lost with its session is asked again.
        """

    @abstractmethod
    def close_input(self, fence: Fence, request_id: str) -> None:
        """Withdraw the question, if it is still there; an answer that came is dropped."""
