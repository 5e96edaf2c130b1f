"""A table in a page of the docs: a line for each row, replaced when it has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.matrix.environment import TOLD
from tests.support.processes import ROOT

END: Final = "<!-- its end -->"


class Table(NamedTuple):
    """A table between two comments of a page."""

    page: Path
    begin: str
    #: Of each line, between the row's name and how it went.
    columns: Sequence[str]
    names: str = "environment"

    @property
    def head(self) -> Sequence[str]:
        """The names of all columns."""
        return (self.names, *self.columns, "result", "seconds")


ENVIRONMENTS: Final = Table(
    ROOT / "docs" / "compatibility.md",
    "<!-- make test-matrix writes this table -->",
    ("python", *TOLD),
)
STORES: Final = Table(
    ROOT / "docs" / "stores.md",
    "<!-- make test-stores writes this table -->",
    ("version",),
    "server",
)


class Result(NamedTuple):
    """How one row's tests have ended."""

    name: str
    versions: Mapping[str, str]
    outcome: str
    seconds: float
    passed: bool

    def cells(self, table: Table) -> list[str]:
        """The line of the table."""
        known = [self.versions.get(name, "-") for name in table.columns]
        return [self.name, *known, self.outcome, f"{self.seconds:.0f}"]


def render(table: Table, rows: Sequence[Sequence[str]]) -> str:
    """Lay the table out as Markdown."""
    lines = [table.head, ["---"] * len(table.head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def update(table: Table, page: str, results: Sequence[Result], order: Sequence[str]) -> str:
    """Return the page with these results' lines replaced, in the given order of rows."""
    before, _, rest = page.partition(f"{table.begin}\n")
    old, _, after = rest.partition(END)
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in old.splitlines()]
    known = {cells[0]: cells for cells in lines[2:]}
    known.update({result.name: result.cells(table) for result in results})
    rows = [known[name] for name in order if name in known]
    return f"{before}{table.begin}\n{render(table, rows)}{END}{after}"


def write_down(table: Table, result: Result, order: Sequence[str]) -> None:
    """Put one row's line into the page."""
    text = table.page.read_text(encoding="utf-8")
    table.page.write_text(update(table, text, [result], order), encoding="utf-8")
