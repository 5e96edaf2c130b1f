"""What keeps the files that users send, for all workers alike.

A file belongs to a session of a tenant, and goes with it. Each call names the tenant: another
tenant's file is an unknown one. Everything may raise OSError, which becomes 503. Used by any
thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import BinaryIO

from msgspec import Struct


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file that is there whole; its type is what its content was found to be."""

    #: Of letters, digits, ``-`` and ``_``, 128 at most; nobody can guess it.
    id: str
    session_id: str
    name: str
    media_type: str
    size: int


class FileWriter(ABC):
    """A file that comes in; used by one thread. Nothing of it is seen before `finish`."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Add a piece."""

    @abstractmethod
    def finish(self, name: str, media_type: str) -> StoredFile:
        """Keep it."""

    @abstractmethod
    def abandon(self) -> None:
        """Leave nothing of it; does nothing for one that is kept."""


class FileStorage(ABC):
    """See above; `AgentHost` takes one of the site's own as ``files``."""

    @abstractmethod
    def begin(self, tenant: str, session_id: str) -> FileWriter:
        """Begin to write a file of a session, which need not be known yet."""

    @abstractmethod
    def find(self, tenant: str, file_id: str) -> StoredFile | None:
        """Describe a file; None for an unknown one, whatever its id looks like."""

    @abstractmethod
    def open(self, tenant: str, file_id: str) -> BinaryIO:
        """Open a file to read; raises FileNotFoundError."""

    @abstractmethod
    def keep(self, tenant: str, session_id: str) -> None:
        """Note that the session's files are in use: their time begins again."""

    @abstractmethod
    def delete(self, tenant: str, file_id: str) -> bool:
        """Forget a file; False for an unknown one."""

    @abstractmethod
    def delete_session(self, tenant: str, session_id: str) -> None:
        """Forget all files of a session."""

    @abstractmethod
    def used_bytes(self, tenant: str) -> int:
        """How much room a tenant's files take, with those that come in."""

    @abstractmethod
    def sweep(self, is_known: Callable[[str, str], bool]) -> None:
        """Forget what has not been used for a session's lifetime, and uploads that were left.

        ``is_known``: whether there is a session, by tenant and id. Called now and then by every
        worker, in a thread of its own; each call does a bounded amount of work.
        """
