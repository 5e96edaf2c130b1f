"""Where a tenant's files are: a directory of its own below the service's."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

# A name that looks like a hashed one is hashed too: no tenant can take another's directory.
_SAFE_NAME: Final = re.compile(r"(?!\.{1,2}$)(?!sha256-)[A-Za-z0-9._~-]{1,128}", re.ASCII)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_workdir(root: Path | None, tenant: str) -> Path:
    """A tenant's directory, made on first use; ``root`` None is the service's default place.

    Raises PermissionError if that place may be somebody else's, and OSError.
    """
    name = tenant
    if not _SAFE_NAME.fullmatch(name):
        name = "sha256-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    path = (_private_root() if root is None else root) / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _private_root() -> Path:
    """This account's place in the system's temporary folder, where any account may make one."""
    uid = os.geteuid()
    root = Path(tempfile.gettempdir()) / f"wsgi_app-{uid}"
    root.mkdir(mode=0o700, exist_ok=True)
    # Not of what a link leads to. Once it is ours, no other account can put another in its place.
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & _OTHERS:
        raise PermissionError(
            f"{root} is not a directory that this account alone may enter: remove it, or set"
            " AGENT_WORKDIR"
        )
    return root
