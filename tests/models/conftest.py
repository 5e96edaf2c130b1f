"""The host before a module's model server; prints the figures that the tests took."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.rules import host_before
from tests.models.server import ModelServer
from tests.support.servers import Gunicorn


@pytest.fixture(autouse=True)
def _no_process_left() -> None:
    """What a test starts again is its module's, and ends with it."""


@pytest.fixture(scope="module")
def server(model: ModelServer) -> Iterator[Gunicorn]:
    """Run the host."""
    with host_before(model) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List them behind the results, for docs/model-servers.md."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            place = report.nodeid.split("::")[1]
            terminalreporter.write_line(f"{place}: {name}: {value}")
