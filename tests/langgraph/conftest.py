"""Two workers that share a store, for LangGraph's clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import Gunicorn, gunicorn, redis_server


@pytest.fixture(scope="package")
def host() -> Iterator[Gunicorn]:
    """The scripted agent on two workers, so that each request may land on another."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_RATE_LIMIT": "100000/minute",
            "AGENT_ORPHAN_SECONDS": "0.5",
        }
        with gunicorn("tests.support.apps:scripted_app()", workers=2, threads=40, env=env) as one:
            yield one
