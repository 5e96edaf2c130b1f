"""The page behind the project's nginx, with two workers and Redis, and a browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browser import chromium, new_profile
from tests.support.processes import free_port
from tests.support.reading import ReadingClient
from tests.support.servers import Server
from tests.support.service import service


class Site(NamedTuple):
    """Where the page is served, over HTTP/1.1 and over HTTP/2 with a certificate of its own."""

    proxy: Server
    url: str
    tls_url: str
    client: ReadingClient


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The stand-alone app with the agent of tests.support.page_agent, on two workers."""
    tls_port = free_port()
    env = {"AGENT_FACTORY": "tests.support.page_agent:answer"}
    with service("wsgi_app:app", hosts=1, env=env, prefix="", tls_port=tls_port) as running:
        tls_url = f"https://127.0.0.1:{tls_port}"
        yield Site(running.proxy, running.proxy.url, tls_url, running.client)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser; each test has a profile of its own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile for several tabs."""
    with new_profile(browser) as profile:
        yield profile


@pytest.fixture
def page(profile: BrowserContext) -> Page:
    """A tab with a new profile."""
    return profile.new_page()
