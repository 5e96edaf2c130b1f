"""The directory that keeps files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wsgi_app.files import FileDirectory
from wsgi_app.files.directory import LEFT_SECONDS


def files_in(folder: Path) -> list[Path]:
    """All files below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def stored(files: FileDirectory, tenant: str = "alpha", session: str = "s") -> Any:
    """A file that is kept."""
    writer = files.begin(tenant, session)
    writer.write(b"content")
    return writer.finish("a", "text/plain")


def age(folder: Path, seconds: float) -> None:
    """Let all files be so much older."""
    for path in files_in(folder):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_what_nobody_uses_is_swept(tmp_path: Path) -> None:
    """Files of sessions that are gone, and uploads that a dead worker has left."""
    files = FileDirectory(tmp_path, keep_seconds=100)
    known, gone = stored(files, session="known"), stored(files, session="gone")
    left = files.begin("alpha", "s")
    left.write(b"half")
    age(tmp_path, LEFT_SECONDS + 1)
    fresh, used = stored(files, session="fresh"), stored(files, session="used")
    files.keep("alpha", "used")
    for _ in range(2):  # one walk, and the beginning of the next
        files.sweep(lambda _, session: session == "known")
    found = [files.find("alpha", one.id) is not None for one in (known, gone, fresh, used)]
    assert found == [True, False, True, True]
    assert not [path for path in files_in(tmp_path) if path.parent.name == "incoming"]
    left.abandon()


def test_hosts_of_other_namespaces_see_nothing(tmp_path: Path) -> None:
    """One directory serves several hosts, each its own."""
    one, other = FileDirectory(tmp_path, "one"), FileDirectory(tmp_path, "other")
    file = stored(one)
    assert other.find("alpha", file.id) is None
    assert other.used_bytes("alpha") == 0
    assert one.used_bytes("alpha") == 4096
