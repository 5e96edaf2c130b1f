"""What the user says on the chat page while an answer is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.chat import ChatPage
from tests.support.servers import Gunicorn, gunicorn


@pytest.fixture
def listening() -> Iterator[Gunicorn]:
    """The stand-alone app with an agent that is steered."""
    with gunicorn(env={"AGENT_FACTORY": "tests.support.page_agent:listening"}) as server:
        yield server


def test_a_message_reaches_the_answer_that_is_written(listening: Gunicorn, page: Page) -> None:
    """It stands in the answer where it came, by keyboard alone, and again after a reload."""
    chat = ChatPage(page, listening.url)
    chat.send("begin")
    chat.wait_text("I listen.")
    page.keyboard.type("go left")
    page.keyboard.press("Enter")
    chat.wait_text("You said go left.")
    said = page.get_by_role("region", name="You")
    expect(said).to_have_text("go left")
    expect(page.locator("#announcer")).to_have_text("The agent has your message.")
    page.reload()
    chat.wait_text("You said go left.")
    expect(said).to_have_text("go left")
    chat.send("stop")
    chat.wait_answers(1)
    assert chat.answer() == "I listen. go left You said go left. stop You said stop."
    page.reload()
    expect(page.locator(".user")).to_have_count(3)
    messages = [message["content"] for message in chat.session()["messages"]]
    assert messages[:3] == ["begin", "I listen. ", "go left"]
    chat.assert_quiet()
