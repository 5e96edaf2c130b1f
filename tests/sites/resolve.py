"""Whether the package can be installed beside real applications: `make resolve-sites`.

The resolver of uv is asked for the application's own pins, then for these with the package's. It
installs nothing. The exit status is 1 if an application does not do as `applications.toml` says.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from packaging.specifiers import SpecifierSet

from tests.support.processes import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RESOLVE_SECONDS: Final = 300
#: What of the package is asked for, and by which columns of the table it is told.
WAYS: Final = {"core": (), "standalone": ("--extra", "standalone")}
_SHOWN_CHARS: Final = 300


class Application(NamedTuple):
    """An application as its own files pin it."""

    name: str
    python: str
    requirements: tuple[str, ...]
    #: Whether the core is expected to fit.
    fits: bool


class Outcome(NamedTuple):
    """What the resolver says; ``conflict`` is of the first that does not fit."""

    application: Application
    #: For each way whether it fits; empty if the application's own pins do not.
    fits: dict[str, bool]
    conflict: str

    def as_row(self) -> str:
        """A row of the table."""
        told = ["yes" if self.fits.get(way) else "no" for way in WAYS]
        return f"| {' | '.join([*self.application[:2], *told, self.conflict])} |"

    @property
    def as_expected(self) -> bool:
        """Whether the core fits as `applications.toml` says."""
        return self.fits.get("core", False) == self.application.fits


def applications() -> list[Application]:
    """All applications of the list."""
    table = tomllib.loads((Path(__file__).parent / "applications.toml").read_text())
    return [
        Application(
            one["name"], one["python"], tuple(one["requirements"]), bool(one.get("fits", True))
        )
        for one in table["application"]
    ]


def resolve(application: Application) -> Outcome:
    """Ask the resolver."""
    alone = _conflict(application, ("-",))
    if alone:
        return Outcome(application, {}, f"its own pins: {alone}")
    found = {
        way: _conflict(application, ("-", "pyproject.toml", *more)) for way, more in WAYS.items()
    }
    fits = {way: not told for way, told in found.items()}
    return Outcome(application, fits, found["core"] or found["standalone"])


def _conflict(application: Application, sources: tuple[str, ...]) -> str:
    """Say what collides, in the resolver's words; empty if nothing does."""
    pythons = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    if len(sources) > 1 and not SpecifierSet(pythons).contains(application.python):
        return f"the package needs Python {pythons}"
    compiling = ("pip", "compile", "--quiet", "--no-config", "--no-header")
    version = ("--python-version", application.python)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "uv", *compiling, *version, *sources],
            cwd=ROOT,
            input="\n".join(application.requirements),
            capture_output=True,
            text=True,
            timeout=RESOLVE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not resolved within {RESOLVE_SECONDS} s"
    if done.returncode == 0:
        return ""
    told = " ".join(done.stderr.partition("cause:")[2].split()) or done.stderr.strip()
    return told[:_SHOWN_CHARS].replace("|", "\\|") or f"status {done.returncode}"


def table(names: list[str]) -> Iterator[Outcome]:
    """Resolve the applications whose names hold one of these, all without any; in their order."""
    wanted = [
        one
        for one in applications()
        if not names or any(name.lower() in one.name.lower() for name in names)
    ]
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(resolve, wanted)


def main(names: list[str]) -> int:
    """Print the table; returns the exit status."""
    print("| application | Python | core | [standalone] | conflict |\n|---|---|---|---|---|")  # noqa: T201 - its output
    unexpected = []
    for outcome in table(names):
        print(outcome.as_row(), flush=True)  # noqa: T201 - its output
        if not outcome.as_expected:
            unexpected.append(outcome.application.name)
    if unexpected:
        print(f"not as expected: {', '.join(unexpected)}", file=sys.stderr)  # noqa: T201 - its output
    return bool(unexpected)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
