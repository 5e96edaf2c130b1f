"""A host with two tenants, for all attacks on one of them by the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn

#: Streams that go on for good are silent after this time, so that they can be read to an end.
KEEPALIVE = {"AGENT_KEEPALIVE_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def alpha() -> Iterator[ReadingClient]:
    """A client of the tenant alpha; beta's token is ``beta-token``."""
    env = {
        **KEEPALIVE,
        "AGENT_METRICS_LOCAL": "1",
        "AGENT_TOKENS": "alpha-token=alpha,beta-token=beta",
        "AGENT_MAX_TURNS_PER_TENANT": "1000",
    }
    with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as server:
        yield ReadingClient(server, "alpha-token")


@pytest.fixture(scope="module")
def beta(alpha: ReadingClient) -> ReadingClient:
    """A client of the tenant beta on the same host."""
    return ReadingClient(alpha.server, "beta-token")
