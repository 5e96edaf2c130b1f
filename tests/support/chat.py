"""The chat page as its user sees it, and what the browser tells about it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from playwright.sync_api import Locator, Page

from tests.support.waiting import wait_for

ANSWER_MILLISECONDS = 60_000
DEVELOPMENT_TOKEN = "dev"


def words(text: str) -> str:
    """A text with one space between its words, as Markdown leaves it."""
    return " ".join(text.split())


class ChatPage:
    """A browser's page with the chat in it. Used by one thread."""

    def __init__(self, page: Page, url: str, path: str = "/") -> None:
        self.page = page
        self.url = url
        self.console: list[str] = []
        self.requested: list[str] = []
        page.on("console", lambda message: self.console.append(message.text))
        page.on("request", lambda request: self.requested.append(request.url))
        page.goto(f"{url}{path}")

    def send(self, text: str) -> None:
        """Type a message and send it."""
        self.page.get_by_label("Message").fill(text)
        self.page.keyboard.press("Enter")

    def button(self, name: str) -> Locator:
        """The button that bears this name for everybody, screen readers too."""
        return self.page.get_by_role("button", name=name, exact=True)

    def wait_answers(self, count: int) -> None:
        """Wait until so many answers are complete and the next message can be sent."""
        complete = self.page.locator(".agent[aria-busy=false]")
        complete.nth(count - 1).wait_for(timeout=ANSWER_MILLISECONDS)
        self.button("Send").wait_for()

    def answer(self) -> str:
        """The newest answer so far, and what the user said in it, one space between."""
        answer = self.page.locator(".agent").last
        # Not those of sub-agents.
        stretches = answer.locator("> .prose, > .said > .prose").all_inner_texts()
        return words(" ".join(stretches))

    def said(self) -> str:
        """The words of the newest message that the host keeps."""
        return words(self.session()["messages"][-1]["content"])

    def wait_text(self, text: str) -> None:
        """Wait until the newest answer holds this text."""
        wait_for(lambda: text in self.answer(), f"{text!r} in the newest answer", 30)

    def path(self) -> str:
        """What follows the host in the address: it names the session."""
        return self.page.url.removeprefix(self.url)

    def session(self, token: str = DEVELOPMENT_TOKEN) -> dict[str, Any]:
        """What the host itself says about the session that the page shows."""
        session_id = urlsplit(self.page.url).fragment
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.get(f"{self.url}/session/{session_id}", headers=headers, timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    def assert_quiet(self) -> None:
        """Nothing in the console, nothing asked of any other server."""
        assert self.console == []
        foreign = [url for url in self.requested if not url.startswith((self.url, "data:"))]
        assert foreign == []
