"""Where a tenant's files are: a directory of its own below the service's."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

# A name that looks like a hashed one is hashed too: no tenant can take another's directory.
_SAFE_NAME: Final = re.compile(r"(?!\.{1,2}$)(?!sha256-)[A-Za-z0-9._~-]{1,128}", re.ASCII)
# Of 255 bytes that file systems take.
_LONGEST_NAME: Final = 200
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Workdirs(NamedTuple):
    """Where one host's tenants have their directories."""

    #: None is the service's default place.
    root: Path | None
    #: Hosts with different ones share no directory; '' is that of versions which had none.
    namespace: str = ""

    def make(self, tenant: str) -> Path:
        """A tenant's directory, made on first use.

        Raises PermissionError if the default place may be somebody else's, and OSError.
        """
        root = _private_root() if self.root is None else self.root
        if self.namespace:
            # No tenant's own directory begins like this.
            folder = "@" + quote(self.namespace, safe="")
            root /= folder if len(folder) <= _LONGEST_NAME else "@" + _digest(folder)
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = root / (tenant if _SAFE_NAME.fullmatch(tenant) else _digest(tenant))
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def _digest(name: str) -> str:
    return "sha256-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


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
