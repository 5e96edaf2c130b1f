"""A file of the operator's that may change while the service runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from wsgi_app.errors import ConfigError

log = logging.getLogger("wsgi_app")

T = TypeVar("T")
#: Requests make the file be looked at no more often than this.
LOOK_SECONDS: Final = 1.0


class ReloadedFile(Generic[T]):
    """A file's content, read again once the file has changed.

    ``parse`` makes it of the text and raises ValueError; ``setting`` names the file in messages. A
    new file that cannot be read is logged, and the content before it stays.

    Used by any thread. Its fields are single assignments; threads that look at the same time read
    the same.
    """

    def __init__(self, path: Path, parse: Callable[[str], T], setting: str) -> None:
        """Read the file; raises ConfigError."""
        self._path = path
        self._parse = parse
        self._setting = setting
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._seen = self._signature()
        try:
            self._content = self._read()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{setting} {_explain(error)}: {path}") from error

    def content(self) -> T:
        """The newest content."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        return self._content

    def _look(self) -> None:
        seen = self._signature()
        if seen == self._seen:
            return
        # Taken before the file is read: what is written meanwhile is a change again.
        self._seen = seen
        try:
            self._content = self._read()
        except (OSError, ValueError) as error:
            message = "%s has changed and %s; what it held before still counts: %s"
            log.error(message, self._setting, _explain(error), self._path)  # noqa: TRY400 - the trace shows nothing more
        else:
            log.info("%s has changed and was read again: %s", self._setting, self._path)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> T:
        return self._parse(self._path.read_text(encoding="utf-8"))


def _explain(error: OSError | ValueError) -> str:
    """Why a file is of no use, without any of its text."""
    if isinstance(error, (OSError, UnicodeDecodeError)):
        return f"cannot be read ({type(error).__name__})"
    return f"is malformed ({error})"
