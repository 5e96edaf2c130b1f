"""The matrix of versions: what its file names is there, and its table keeps what did not run."""

from __future__ import annotations

from tests.matrix.rows import PYTHONS, load_matrix
from tests.matrix.table import END, ENVIRONMENTS, STORES, Result, update
from tests.support.processes import ROOT


def test_rows_name_what_is_there() -> None:
    """Each test of the selections exists, each row has a name of its own and a Python we allow."""
    matrix = load_matrix()
    own = [path for row in matrix.environments for path in row.tests]
    for path in (*matrix.tests.selection, *matrix.tests.smoke, *own):
        assert (ROOT / path).exists(), path
    names = [row.name for row in matrix.environments]
    assert len(set(names)) == len(names)
    assert {row.python for row in matrix.environments} <= {*PYTHONS, "oldest", "newest"}
    assert {row.name for row in matrix.environments if row.core} == {"lowest", "newest"}
    for table in (ENVIRONMENTS, STORES):
        assert table.page.read_text(encoding="utf-8").count(f"{table.begin}\n") == 1


def test_table_keeps_the_lines_of_rows_that_did_not_run() -> None:
    """A run replaces the lines of its own rows, in the order of the file."""
    page = f"before\n{ENVIRONMENTS.begin}\n{END}\nafter\n"
    second = Result("b", {"flask": "2.0.3"}, "1 failed, 2 passed", 3.2, passed=False)
    page = update(ENVIRONMENTS, page, [second], ["a", "b"])
    page = update(ENVIRONMENTS, page, [Result("a", {}, "9 passed", 1, passed=True)], ["a", "b"])
    lines = [line for line in page.splitlines() if line.startswith(("| a |", "| b |"))]
    assert [line[:5] for line in lines] == ["| a |", "| b |"]
    assert "| 2.0.3 |" in lines[1]
    assert "| 1 failed, 2 passed | 3 |" in lines[1]
    assert page.startswith("before\n")
    assert page.endswith("after\n")
