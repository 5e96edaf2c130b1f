"""A real Chromium, driven by playwright, which never downloads one of its own.

Where it is, it is the build without a user interface, which playwright itself takes: pages are run
and drawn by the same engine, at 0.6 times the processor time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.support.processes import find_program

ACTION_SECONDS = 15
SHELL = "chromium-headless-shell"

ARGUMENTS = [
    "--no-sandbox",  # root in a container has no user namespaces
    "--disable-gpu",
    "--in-process-gpu",  # it draws nothing here, and a process of its own costs
    "--disable-dev-shm-usage",  # containers often have 64 MB there, which crashes pages
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without profiles; its thread can run no other event loop meanwhile."""
    program = shutil.which(SHELL) or find_program("chromium", SHELL)
    expect.set_options(timeout=ACTION_SECONDS * 1000)  # which no context sets
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_profile(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """A new profile, for any number of tabs; fails at its end on an uncaught error in a page."""
    faults: list[Error] = []
    context = browser.new_context(**options)
    try:
        context.set_default_timeout(ACTION_SECONDS * 1000)
        context.on("weberror", lambda fault: faults.append(fault.error))
        yield context
    finally:
        context.close()
    assert not faults, f"uncaught errors in a page: {faults}"


@contextmanager
def chromium_page() -> Iterator[Page]:
    """An empty page of a browser of its own."""
    with chromium() as browser, new_profile(browser) as profile:
        yield profile.new_page()
