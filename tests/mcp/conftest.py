"""The host that the protocol's tests talk to, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mcp.client import McpClient
from tests.support.servers import Gunicorn, gunicorn, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a store, and two tenants."""
    with redis_server() as store:
        tokens = "dev=acme,admin=acme scopes=read+admin,other=else,chatter=acme scopes=chat"
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": tokens,
            "AGENT_RATE_LIMIT": "100000/minute",
            "AGENT_LEASE_SECONDS": "3",  # soon over for a worker that was killed
        }
        with gunicorn("tests.support.apps:told_app()", workers=2, threads=24, env=env) as server:
            yield server


@pytest.fixture
def client(server: Gunicorn) -> McpClient:
    """A tenant's client."""
    return McpClient(server)
