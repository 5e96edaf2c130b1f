"""The table in docs/compatibility.md: a line for each environment, replaced when it has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tests.matrix.environment import TOLD
from tests.support.processes import ROOT

PAGE: Final = ROOT / "docs" / "compatibility.md"
BEGIN: Final = "<!-- make test-matrix writes this table -->"
END: Final = "<!-- its end -->"
HEAD: Final = ("environment", "python", *TOLD, "result", "seconds")


class Result(NamedTuple):
    """How one environment's tests have ended."""

    name: str
    versions: Mapping[str, str]
    outcome: str
    seconds: float
    passed: bool

    def cells(self) -> list[str]:
        """The line of the table."""
        known = [self.versions.get(name, "-") for name in HEAD[1:-2]]
        return [self.name, *known, self.outcome, f"{self.seconds:.0f}"]


def render(rows: Sequence[Sequence[str]]) -> str:
    """Lay the table out as Markdown."""
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def update(page: str, results: Sequence[Result], order: Sequence[str]) -> str:
    """Return the page with these results' lines replaced, in the file's order of rows."""
    before, _, rest = page.partition(f"{BEGIN}\n")
    old, _, after = rest.partition(END)
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in old.splitlines()]
    known = {cells[0]: cells for cells in lines[2:]}
    known.update({result.name: result.cells() for result in results})
    rows = [known[name] for name in order if name in known]
    return f"{before}{BEGIN}\n{render(rows)}{END}{after}"
