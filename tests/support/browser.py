"""A real chromium, driven by playwright, which never downloads one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Error, Page, sync_playwright

from tests.support.processes import find_program, temporary_folder

ACTION_SECONDS = 15

ARGUMENTS = [
    "--headless",
    "--no-sandbox",  # root in a container has no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers often have 64 MB there, which crashes pages
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium_page() -> Iterator[Page]:
    """An empty page of a browser with a new profile; fails at its end on an uncaught page error."""
    program = find_program("chromium", "chromium")
    faults: list[Error] = []
    with temporary_folder() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program, args=ARGUMENTS, headless=True
        )
        try:
            context.set_default_timeout(ACTION_SECONDS * 1000)
            page = context.pages[0]
            page.on("pageerror", lambda fault: faults.append(fault))  # noqa: PLW0108 - takes no builtin
            yield page
        finally:
            context.close()
    assert not faults, f"uncaught errors in the page: {faults}"
