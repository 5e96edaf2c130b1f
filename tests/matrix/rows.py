"""What environments.toml says, and the Pythons that this machine has."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final, Literal, Optional

import msgspec
from msgspec import Struct

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE: Final = Path(__file__).with_name("environments.toml")
#: Those that the package allows, the oldest first.
PYTHONS: Final = tuple(f"3.{minor}" for minor in range(9, 16))


class Row(Struct, forbid_unknown_fields=True):
    """One environment."""

    name: str
    python: str
    core: bool = False
    resolution: Literal["highest", "lowest-direct"] = "highest"
    prerelease: str = "if-necessary-or-explicit"
    #: What Python's warnings do: those of old versions tell nobody anything.
    warnings: Literal["default", "error"] = "default"
    extras: tuple[str, ...] = ("standalone",)
    packages: list[str] = []
    #: Tests that need what the row leaves out.
    without: list[str] = []
    #: What runs here in place of the selection.
    tests: list[str] = []


class Tests(Struct, forbid_unknown_fields=True):
    """What runs in each of them."""

    packages: list[str]
    selection: list[str]
    smoke: list[str]


class Matrix(Struct, forbid_unknown_fields=True):
    """The whole file."""

    tests: Tests
    environments: list[Row]


def load_matrix() -> Matrix:
    """Read the file; raises msgspec.ValidationError for what it cannot mean."""
    written: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return msgspec.convert(written, Matrix)


def find_python(wanted: str) -> Optional[Path]:
    """Find an interpreter on PATH, or among pyenv's; None if there is none."""
    versions = {"oldest": PYTHONS, "newest": PYTHONS[::-1]}.get(wanted, (wanted,))
    return next(filter(None, map(_find, versions)), None)


def _find(version: str) -> Optional[Path]:
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    # pyenv's own first: on PATH it has a shim of the same name that runs only what is chosen.
    of_pyenv = sorted(pyenv.glob(f"{version}[.-]*/bin/{name}"))
    if of_pyenv:
        return of_pyenv[-1]
    found = shutil.which(name)
    return Path(found) if found else None
