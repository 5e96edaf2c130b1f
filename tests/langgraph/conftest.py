"""Two workers that share a store, for LangGraph's clients, and a browser for its pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langgraph_sdk.client import SyncLangGraphClient
from playwright.sync_api import Browser

from tests.langgraph.sdk import client_of
from tests.support.browser import chromium
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


@pytest.fixture(scope="module")  # while it runs, clients in Python can have no event loop
def browser() -> Iterator[Browser]:
    """One browser; each test has a profile of its own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def client(host: Gunicorn) -> Iterator[SyncLangGraphClient]:
    """The SDK's client."""
    with client_of(host) as client:
        yield client
