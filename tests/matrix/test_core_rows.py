"""The oldest and the newest versions of what the host needs: some of the tests, in each commit."""

from __future__ import annotations

import pytest

from tests.matrix.__main__ import run_row
from tests.matrix.rows import Row, load_matrix

MATRIX = load_matrix()


@pytest.mark.timeout(1200)  # an environment may have to be made first
@pytest.mark.parametrize(
    "row", [row for row in MATRIX.environments if row.core], ids=lambda r: r.name
)
def test_the_host_runs_on(row: Row) -> None:
    """Turns, their modes and the store's begin of a turn work with these versions."""
    result = run_row(row, MATRIX, MATRIX.tests.smoke, "-n0")  # others run beside it
    assert result.passed, result.outcome
