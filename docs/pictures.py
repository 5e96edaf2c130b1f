"""Take the pictures of the chat page that the README and docs/chat-page.md show.

``python -m docs.pictures`` needs the tests' environment: it drives Debian's chromium, as they do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser

from tests.support.browser import chromium, new_profile
from tests.support.chat import ChatPage
from tests.support.servers import gunicorn

FOLDER: Final = Path(__file__).parent / "pictures"
WIDE: Final = {"width": 960, "height": 780}
PHONE: Final = {"width": 390, "height": 720}
ENV: Final = {"AGENT_FACTORY": "tests.support.page_agent:answer"}


def main() -> None:
    """Write all pictures."""
    with gunicorn(env=ENV) as server, chromium() as browser:
        for name, (show, options) in PICTURES.items():
            _take(browser, server.url, name, show, options)


def _take(
    browser: Browser, url: str, name: str, show: Callable[[ChatPage], None], options: dict[str, Any]
) -> None:
    with new_profile(browser, **{"viewport": WIDE, **options}) as profile:
        chat = ChatPage(profile.new_page(), url)
        show(chat)
        chat.page.screenshot(path=FOLDER / f"{name}.png")


def _empty(chat: ChatPage) -> None:
    chat.page.locator(".welcome").wait_for()


def _report(chat: ChatPage) -> None:
    chat.send("report on the stock of nuts")
    chat.wait_answers(1)


def _running(chat: ChatPage) -> None:
    chat.send("count to 400")
    chat.wait_text(" 40 ")


def _stopped(chat: ChatPage) -> None:
    _running(chat)
    chat.button("Stop").click()
    chat.wait_answers(1)


def _question(chat: ChatPage) -> None:
    chat.send("ask enum")
    chat.page.locator(".question").wait_for()


PICTURES: Final[dict[str, tuple[Callable[[ChatPage], None], dict[str, Any]]]] = {
    "empty": (_empty, {}),
    "answer": (_report, {}),
    "running": (_running, {}),
    "stopped": (_stopped, {}),
    "question": (_question, {}),
    "dark": (_report, {"color_scheme": "dark"}),
    "phone": (_report, {"viewport": PHONE}),
}


if __name__ == "__main__":
    main()
