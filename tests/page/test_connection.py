"""The page on a network that comes and goes."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.page.conftest import Site
from tests.support.chat import ChatPage
from tests.support.waiting import wait_for

OFFLINE_SECONDS = 3


@pytest.mark.slow
def test_offline_for_a_while(site: Site, profile: BrowserContext) -> None:
    """Without a network the page says so; back on it the answer goes on, each word once."""
    chat = ChatPage(profile.new_page(), site.url)
    chat.send("count to 45")
    chat.wait_text(" 5 ")
    profile.set_offline(True)
    expect(chat.page.locator("#connection")).to_have_text(re.compile("Offline|Reconnecting"))
    until = time.monotonic() + OFFLINE_SECONDS
    wait_for(lambda: time.monotonic() > until, "the network to be back")
    profile.set_offline(False)
    chat.wait_answers(1)
    expect(chat.page.locator("#connection")).to_be_empty()
    assert chat.answer() == chat.said()
    assert f"{' '.join(map(str, range(1, 46)))} and that is all." in chat.answer()


def test_sent_without_a_network(site: Site, profile: BrowserContext) -> None:
    """A message sent without a network goes out when it is back."""
    chat = ChatPage(profile.new_page(), site.url)
    expect(chat.page.locator(".welcome")).to_be_visible()
    profile.set_offline(True)
    chat.send("say hello")
    expect(chat.page.locator("#connection")).to_have_text(re.compile("Offline|Reconnecting"))
    profile.set_offline(False)
    chat.wait_answers(1)
    assert chat.answer() == "hello"
    assert len(chat.session()["messages"]) == 2
