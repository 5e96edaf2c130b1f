"""Which test files run one after the other, in one of pytest-xdist's processes.

Each process would start what they share once more: a browser and the page's site, and the process
that has loaded all frameworks.
"""

from __future__ import annotations

from functools import cache

from xdist.scheduler import LoadFileScheduling

from tests.support.processes import ROOT


class Together(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """As ``--dist loadfile``, but for what is shared."""

    def _split_scope(self, nodeid: str) -> str:
        return place_of(super()._split_scope(nodeid))


def is_shared(file: str) -> bool:
    """Whether a test file runs together with others."""
    return place_of(file) != file


@cache
def place_of(file: str) -> str:
    """What a test file shares, or itself."""
    if file.startswith("tests/page/"):
        return "tests/page"
    return "frameworks" if "frameworks=True" in (ROOT / file).read_text() else file
