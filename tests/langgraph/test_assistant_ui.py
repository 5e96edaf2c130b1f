"""assistant-ui's runtime for LangGraph, in a page that Vite has built and Chromium shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.langgraph.pages import build_page
from tests.langgraph.site import FOLDER_VARIABLE
from tests.support.browser import new_profile
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn, redis_server

# Its packages take half a minute to install, and 150 MB.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE: Final = Path(__file__).parent / "assistant_ui"
TOOL: Final = {"tool": {"name": "add", "input": {"a": 1}, "output": {"sum": 2}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """Two workers that share a store; a client that has gone ends its turn soon."""
    folder = build_page(HERE, tmp_path_factory.mktemp("assistant-ui"))
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_ORPHAN_SECONDS": "0.5",
            FOLDER_VARIABLE: str(folder),
        }
        with gunicorn("tests.langgraph.site:site()", workers=2, threads=24, env=env) as server:
            yield server


@pytest.fixture
def page(browser: Browser, server: Gunicorn) -> Iterator[Page]:
    """The page of a new thread."""
    with new_profile(browser) as profile:
        page = profile.new_page()
        page.goto(server.url)
        wait_ready(page)
        yield page


def wait_ready(page: Page) -> None:
    """Wait until the page runs."""
    page.wait_for_function("typeof window.send === 'function'")


def send(page: Page, text: str, *steps: dict[str, Any]) -> None:
    """Say something, and have the agent do these steps."""
    page.evaluate("([text, steps]) => window.send(text, steps)", [text, list(steps)])


def wait_shown(page: Page, *messages: str) -> None:
    """Wait until the page shows these messages, and nothing runs."""
    expect(page.locator("ol li")).to_have_text(list(messages), timeout=15_000)
    expect(page.locator("#running")).to_have_text("false", timeout=15_000)


def test_text_and_tools(page: Page) -> None:
    """Text, calls and results are shown, and a page that is loaded again shows the same."""
    send(page, "hello", {"text": "Let me add. "}, TOOL, {"text": "It is 2."})
    said = 'assistant: Let me add. add({"a":1}) {"sum":2} It is 2.'
    wait_shown(page, "user: hello", said)
    page.reload()
    wait_ready(page)
    wait_shown(page, "user: hello", said)
    send(page, "again", {"text": "Once more."})
    wait_shown(page, "user: hello", said, "user: again", "assistant: Once more.")


def test_an_interrupt_is_answered_after_a_reload(page: Page) -> None:
    """A question is an interrupt, with what was said before it; its answer goes on."""
    send(page, "paint", {"text": "Which? "}, {"ask": "The color?"}, {"text": "!"})
    interrupt = page.locator("#interrupt")
    for _ in range(2):
        expect(interrupt).to_have_text('{"prompt":"The color?"}')
        wait_shown(page, "user: paint", "assistant: Which?")
        page.reload()
        wait_ready(page)
    expect(interrupt).to_have_text('{"prompt":"The color?"}')
    page.evaluate("window.respond('red')")
    wait_shown(page, "user: paint", "assistant: Which? red!")
    expect(interrupt).to_have_text("")


def test_stop_ends_the_turn(page: Page, server: Gunicorn) -> None:
    """It hangs up, which ends the turn, and the thread takes the next one."""
    send(page, "count", {"text": "begun "}, {"hold": True})
    expect(page.locator("ol li").last).to_have_text("assistant: begun")
    page.evaluate("window.stop()")
    wait_shown(page, "user: count", "assistant: begun")
    client, thread = ReadingClient(server), page.url.partition("thread=")[2]
    client.wait_idle(thread)
    assert client.poll(thread, "0-0", 0)["events"][-1]["type"] == "cancelled"
    send(page, "next", {"text": "I am here."})
    shown = ("user: count", "assistant: begun", "user: next", "assistant: I am here.")
    wait_shown(page, *shown)
