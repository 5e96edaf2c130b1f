"""Judges where a host keeps the files that its users send."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wsgi_app.cli.doctor.report import Finding
from wsgi_app.store.base import WorkerView

SETTING: Final = "AGENT_FILES_DIR"
#: File systems that one machine alone sees.
_OF_ONE_MACHINE: Final = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs", "zfs"})


def check_files(folder: str) -> Iterator[Finding]:
    """Find a directory that workers cannot use, or that is another one for each of them."""
    path = Path(folder)
    if not path.is_absolute():
        yield _finding(
            f"{folder} depends on where a worker is started",
            "name it from the root",
            folder,
        )
    there = path if path.exists() else _first_there(path)
    if not there.is_dir():
        yield _finding(f"{there} is no directory", "name a directory", folder)
    elif not _is_writable(there):
        account = f"the account of this command (uid {os.getuid()}) cannot write to {there}"
        yield _finding(
            account, "give it to the account of the workers, and run this as that one", folder
        )


def check_files_of_machines(
    folder: str, workers: Sequence[WorkerView], here: str, mounts: Path = Path("/proc/self/mounts")
) -> Iterator[Finding]:
    """Find a directory of this machine alone where other machines have workers too."""
    others = sorted({view.info.hostname for view in workers} - {here, ""})
    kind = _file_system(Path(folder).absolute(), mounts)
    if others and kind in _OF_ONE_MACHINE:
        yield _finding(
            f"{folder} is on a file system of this machine alone ({kind}), and"
            f" {', '.join(others)} has workers too: what one keeps the other does not find",
            "put it on a file system that all machines mount, or give AgentHost a storage (files=)",
            folder,
        )


def _finding(problem: str, change: str, folder: str) -> Finding:
    return Finding("files", problem, change, f"{SETTING} ({folder})")


def _first_there(path: Path) -> Path:
    """The directory in which the workers make it."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def _is_writable(folder: Path) -> bool:
    """Whether a file can be made; only that finds read-only file systems."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _file_system(path: Path, mounts: Path) -> str:
    """The kind of the file system that holds a path; '' where that cannot be learnt."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    found = [(line[1], line[2]) for line in lines if _holds(line[1], path)]
    return max(found, key=lambda one: len(one[0]))[1] if found else ""


def _holds(folder: str, path: Path) -> bool:
    return folder == "/" or Path(folder) in (path, *path.parents)
