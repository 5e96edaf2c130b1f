"""Take the pictures of the chat page that the README and docs/chat-page.md show.

``python -m docs.pictures`` needs the tests' environment: it drives Debian's chromium, as they do.
With names (``python -m docs.pictures error dark``) it takes those alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser, FilePayload, expect

from tests.support.browser import chromium, new_profile
from tests.support.chat import ChatPage
from tests.support.servers import gunicorn

FOLDER: Final = Path(__file__).parent / "pictures"
WIDE: Final = {"width": 960, "height": 780}
LOW: Final = {"width": 800, "height": 460}
HIGH: Final = {"width": 800, "height": 680}
PHONE: Final = {"width": 390, "height": 720}
#: A file that somebody sends.
NOTE: Final[FilePayload] = {"name": "stock.txt", "mimeType": "text/plain", "buffer": b"nut 1200\n"}


class Picture(NamedTuple):
    """How to bring the page into a state, what the browser is, and whose answers it shows."""

    show: Callable[[ChatPage], None]
    options: dict[str, Any]
    agent: str = "page_agent:answer"


def main(*names: str) -> None:
    """Write all pictures, or those of these names."""
    wanted = {name: PICTURES[name] for name in names or PICTURES}
    with chromium() as browser, TemporaryDirectory() as files:
        for agent in {picture.agent for picture in wanted.values()}:
            env = {"AGENT_FACTORY": f"tests.support.{agent}", "AGENT_FILES_DIR": files}
            with gunicorn(env=env) as server:
                for name, picture in wanted.items():
                    if picture.agent == agent:
                        _take(browser, server.url, name, picture)


def _take(browser: Browser, url: str, name: str, picture: Picture) -> None:
    options = {"viewport": LOW, **picture.options}
    with new_profile(browser, **options) as profile:
        chat = ChatPage(profile.new_page(), url)
        picture.show(chat)
        # Without the pointer's mark, and when all that moves has come to rest.
        chat.page.mouse.move(0, 0)
        chat.page.screenshot(path=FOLDER / f"{name}.png", animations="disabled", caret="hide")


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


def _tool(chat: ChatPage) -> None:
    chat.send("what is 12*34?")
    chat.wait_answers(1)
    chat.page.locator(".agent summary").last.click()


def _question(chat: ChatPage) -> None:
    chat.send("ask enum")
    chat.page.locator(".question").wait_for()


def _approval(chat: ChatPage) -> None:
    chat.send("delete the nut")
    chat.page.locator(".question").wait_for()


def _error(chat: ChatPage) -> None:
    chat.send("fail: the shop's database is away")
    chat.wait_answers(1)


def _reconnecting(chat: ChatPage) -> None:
    _running(chat)
    chat.page.context.set_offline(True)
    connection = chat.page.locator("#connection")
    expect(connection).to_have_text(re.compile("Offline|Reconnecting"))


def _attachment(chat: ChatPage) -> None:
    chat.page.on("filechooser", lambda _: None)
    with chat.page.expect_file_chooser() as chooser:
        chat.button("Attach files").click()
    chooser.value.set_files([NOTE])
    attached = chat.page.get_by_role("list", name="Files to send")
    expect(attached.get_by_role("listitem")).to_have_count(1)
    expect(attached).not_to_contain_text("Sending")
    chat.page.get_by_label("Message").fill("What is in it?")


def _steering(chat: ChatPage) -> None:
    chat.send("look for nuts")
    chat.wait_text("I listen.")
    chat.send("metric ones only")
    chat.wait_text("You said metric")


def _sub_agents(chat: ChatPage) -> None:
    chat.send("delegate")
    chat.wait_answers(1)
    chat.page.locator(".agent summary").first.click()


TALL: Final = {"viewport": WIDE}
PICTURES: Final[dict[str, Picture]] = {
    "empty": Picture(_empty, {}),
    "answer": Picture(_report, TALL),
    "running": Picture(_running, {}),
    "tool": Picture(_tool, {"viewport": HIGH}),
    "stopped": Picture(_stopped, {}),
    "question": Picture(_question, {}),
    "approval": Picture(_approval, {}),
    "error": Picture(_error, {}, "page_agent:echo"),
    "reconnecting": Picture(_reconnecting, {}),
    "attachment": Picture(_attachment, {}, "file_app:Looking"),
    "steering": Picture(_steering, {}, "page_agent:listening"),
    "sub-agents": Picture(_sub_agents, {"viewport": HIGH}),
    "dark": Picture(_report, {**TALL, "color_scheme": "dark"}),
    "phone": Picture(_report, {"viewport": PHONE}),
}


if __name__ == "__main__":
    main(*sys.argv[1:])
