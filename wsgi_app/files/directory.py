"""Files in a directory that all workers share.

    <tenant>/<session>/about       whose it is; its time is when the session's files were last used
    <tenant>/<session>/<id>        a file's bytes
    <tenant>/<session>/<id>.json   what it is, written last: before that there is no such file
    <tenant>/incoming/<name>       what comes in

Names of tenants and sessions are hashed. A file's id begins with its session's name.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from wsgi_app.files.contract import FileStorage, FileWriter, StoredFile

_ID: Final = re.compile(r"(?P<session>[0-9a-f]{32})_[0-9a-f]{32}\Z", re.ASCII)
_INCOMING: Final = "incoming"
_ABOUT: Final = "about"
#: An upload takes less: what is older was left by a worker that died.
LEFT_SECONDS: Final = 3600.0
#: Sessions that one sweep looks at.
SWEPT_AT_ONCE: Final = 500
#: So much room each file takes at the least.
BLOCK_BYTES: Final = 4096


class _About(Struct):
    """Whose a session's directory is."""

    tenant: str
    session_id: str


class FileDirectory(FileStorage):
    """See above. What it holds may be read and written by this account alone.

    ``namespace``: hosts with different ones share a directory without seeing each other's files.
    ``keep_seconds``: for how long after its last use an unknown session's files stay. ``_lock``
    guards the walk of the sweeps.
    """

    def __init__(self, root: Path, namespace: str = "", keep_seconds: float = 86_400) -> None:
        self._root = root
        self._namespace = namespace
        self._keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._walk: Iterator[Path] = iter(())

    def begin(self, tenant: str, session_id: str) -> FileWriter:
        """See `FileStorage.begin`."""
        incoming = self._tenant(tenant) / _INCOMING
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        session = self._session(tenant, session_id)
        return _Writer(incoming / secrets.token_hex(16), session, tenant, session_id)

    def find(self, tenant: str, file_id: str) -> StoredFile | None:
        """See `FileStorage.find`."""
        path = self._file(tenant, file_id)
        if path is None:
            return None
        try:
            return msgspec.json.decode(_beside(path).read_bytes(), type=StoredFile)
        except FileNotFoundError:
            return None

    def open(self, tenant: str, file_id: str) -> BinaryIO:
        """See `FileStorage.open`."""
        path = self._file(tenant, file_id)
        if path is None:
            raise FileNotFoundError(file_id)
        return path.open("rb")

    def keep(self, tenant: str, session_id: str) -> None:
        """See `FileStorage.keep`."""
        with suppress(FileNotFoundError):
            os.utime(self._session(tenant, session_id) / _ABOUT)

    def delete(self, tenant: str, file_id: str) -> bool:
        """See `FileStorage.delete`."""
        path = self._file(tenant, file_id)
        if path is None or not _beside(path).exists():
            return False
        _beside(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return True

    def delete_session(self, tenant: str, session_id: str) -> None:
        """See `FileStorage.delete_session`."""
        _remove(self._session(tenant, session_id))

    def used_bytes(self, tenant: str) -> int:
        """See `FileStorage.used_bytes`."""
        return sum(
            _room_of(entry)
            for directory in _entries(self._tenant(tenant))
            for entry in _entries(Path(directory.path))
        )

    def sweep(self, is_known: Callable[[str, str], bool]) -> None:
        """See `FileStorage.sweep`."""
        now = time.time()
        for directory in self._next_directories():
            if directory.name == _INCOMING:
                for left in _entries(directory):
                    if now - _time_of(Path(left.path), now) > LEFT_SECONDS:
                        Path(left.path).unlink(missing_ok=True)
            elif now - _time_of(directory / _ABOUT, _time_of(directory, now)) > self._keep_seconds:
                about = _read_about(directory)
                if about is None or not is_known(about.tenant, about.session_id):
                    _remove(directory)

    def _next_directories(self) -> list[Path]:
        """Of the sessions and of what comes in, those behind the last sweep's."""
        with self._lock:
            found = list(itertools.islice(self._walk, SWEPT_AT_ONCE))
            if len(found) < SWEPT_AT_ONCE:
                self._walk = self._directories()
        return found

    def _directories(self) -> Iterator[Path]:
        for tenant in _entries(self._root):
            yield from (Path(one.path) for one in _entries(Path(tenant.path)))

    def _tenant(self, tenant: str) -> Path:
        return self._root / _hashed(self._namespace, tenant)

    def _session(self, tenant: str, session_id: str) -> Path:
        return self._tenant(tenant) / _hashed(tenant, session_id)

    def _file(self, tenant: str, file_id: str) -> Path | None:
        match = _ID.match(file_id)
        return None if match is None else self._tenant(tenant) / match["session"] / file_id


class _Writer(FileWriter):
    def __init__(self, path: Path, session: Path, tenant: str, session_id: str) -> None:
        self._path = path
        self._session = session
        self._tenant = tenant
        self._session_id = session_id
        self._size = 0
        # 0o600: whatever the account's own habit is.
        self._file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: SIM115, PTH123 - closed by finish and abandon

    def write(self, data: bytes) -> None:
        """See `FileWriter.write`."""
        self._file.write(data)
        self._size += len(data)

    def finish(self, name: str, media_type: str) -> StoredFile:
        """See `FileWriter.finish`."""
        self._file.close()
        session_name = self._session.name
        about = _About(self._tenant, self._session_id)
        file = StoredFile(
            id=f"{session_name}_{secrets.token_hex(16)}",
            session_id=self._session_id,
            name=name,
            media_type=media_type,
            size=self._size,
        )
        self._session.mkdir(mode=0o700, exist_ok=True)
        (self._session / _ABOUT).write_bytes(msgspec.json.encode(about))
        path = self._session / file.id
        self._path.replace(path)
        described = self._path.with_suffix(".json")
        described.write_bytes(msgspec.json.encode(file))
        described.replace(_beside(path))
        return file

    def abandon(self) -> None:
        """See `FileWriter.abandon`."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _hashed(*names: str) -> str:
    text = "\0".join(names).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """What is in a directory; nothing if it has gone."""
    try:
        with os.scandir(directory) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _room_of(entry: os.DirEntry[str]) -> int:
    """What a file takes of its tenant's room; what describes it is not counted."""
    if entry.name == _ABOUT or entry.name.endswith(".json"):
        return 0
    try:
        return max(BLOCK_BYTES, entry.stat().st_size)
    except FileNotFoundError:
        return 0


def _time_of(path: Path, otherwise: float) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return otherwise


def _read_about(directory: Path) -> _About | None:
    try:
        return msgspec.json.decode((directory / _ABOUT).read_bytes(), type=_About)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
