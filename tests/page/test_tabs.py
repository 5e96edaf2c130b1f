"""Several tabs, and several chats."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.page.conftest import Site
from tests.support.browser import new_profile
from tests.support.chat import ChatPage
from tests.support.waiting import wait_for

TABS = 8
SECONDS_TO_LIST = 30


def test_two_tabs_on_one_session(site: Site, profile: BrowserContext) -> None:
    """A tab opened in mid-turn follows it; one that was idle asks again when it is shown."""
    first = ChatPage(profile.new_page(), site.url)
    first.send("count to 25")
    first.wait_text(" 5 ")
    second = ChatPage(profile.new_page(), site.url, path=first.path())
    first.wait_answers(1)
    second.wait_answers(1)
    assert first.answer() == second.answer() == first.said()
    first.send("what is 2*3?")
    first.wait_answers(2)
    before = len(second.requested)
    second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_for(lambda: "2*3 = 6" in second.answer(), "the other tab's turn")
    asked = [url for url in second.requested[before:] if "/session/" in url]
    assert asked
    expect(second.page.locator(".user")).to_have_count(2)
    second.assert_quiet()


@pytest.mark.slow
def test_message_while_busy(site: Site, page: Page) -> None:
    """A message sent while an answer is written waits for its turn, and is answered next."""
    chat = ChatPage(page, site.url)
    chat.send("quiet")
    chat.wait_text("Waiting.")
    chat.send("say after that")
    expect(page.locator(".agent").last).to_contain_text("Waits for the answer above.")
    chat.button("Stop").click()
    chat.wait_answers(2)
    assert chat.answer() == "after that"
    expect(page.locator(".agent").first).to_contain_text("You stopped this answer.")
    assert [one["content"] for one in chat.session()["messages"]][-2:] == [
        "say after that",
        "after that",
    ]
    chat.assert_quiet()


@pytest.mark.slow
def test_list_of_chats(site: Site, page: Page) -> None:
    """Chats are listed by their first message, opened, and deleted once that is confirmed."""
    chat = ChatPage(page, site.url)
    chat.send("say one first")
    chat.wait_answers(1)
    chat.button("New chat").click()
    chat.send("say the second")
    chat.wait_answers(1)
    chats = page.get_by_role("navigation", name="Chats")
    expect(chats.get_by_role("link", name="say the second")).to_have_attribute(
        "aria-current", "page"
    )
    chats.get_by_role("link", name="say one first").click()
    expect(page.locator(".agent")).to_have_text(["Agentone first"])
    delete = chats.get_by_role("button", name="Delete “say one first”")
    delete.click()
    chat.button("Keep it").click()
    delete.click()
    chat.button("Delete").click()
    expect(chats.get_by_role("link", name="say one first")).to_have_count(0)
    expect(page.locator(".message")).to_have_count(0)
    expect(chat.button("New chat")).to_be_focused()
    chat.assert_quiet()


@pytest.mark.slow
def test_other_chats_are_watched_in_one_stream(site: Site, profile: BrowserContext) -> None:
    """An idle tab follows all other chats that run over one connection, and shows their ends."""
    running = [ChatPage(profile.new_page(), site.url) for _ in range(2)]
    for number, chat in enumerate(running):
        chat.send(f"quiet {number}")
        chat.wait_text("Waiting.")
    idle = ChatPage(profile.new_page(), site.url)
    dots = idle.page.locator("#sessions .running")
    expect(dots).to_have_count(2, timeout=SECONDS_TO_LIST * 1000)

    def streams() -> list[str]:
        idle.page.title()  # until something is asked of it, the browser tells of no request
        return [url for url in idle.requested if "/events?session=" in url]

    wait_for(lambda: streams() and streams()[-1].count("session=") == 2, "both in one stream", 20)
    running[0].button("Stop").click()
    expect(dots).to_have_count(1, timeout=SECONDS_TO_LIST * 1000)
    idle.send("say something")
    idle.wait_answers(1)
    running[1].button("Stop").click()
    expect(dots).to_have_count(0, timeout=SECONDS_TO_LIST * 1000)
    idle.assert_quiet()


@pytest.mark.slow
def test_chat_deleted_elsewhere(site: Site, profile: BrowserContext) -> None:
    """A tab whose chat was deleted in another one says so when it is shown again."""
    chat = ChatPage(profile.new_page(), site.url)
    chat.send("say something")
    chat.wait_answers(1)
    site.client.call("DELETE", f"/session/{chat.session()['session_id']}")
    chat.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(chat.page.locator("#notice")).to_have_text("This chat was deleted.")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_many_tabs_at_once(site: Site, browser: Browser) -> None:
    """Over HTTP/2 more tabs stream at the same time than a browser has connections."""
    with new_profile(browser, ignore_https_errors=True) as profile:
        chats = [ChatPage(profile.new_page(), site.tls_url) for _ in range(TABS)]
        for chat in chats:
            chat.send("count to 300")
        for chat in chats:
            chat.wait_text(" 3 ")
        assert all(chat.button("Stop").is_visible() for chat in chats)
        protocols = "performance.getEntriesByType('resource').map((one) => one.nextHopProtocol)"
        assert set(chats[0].page.evaluate(protocols)) == {"h2"}
        for chat in chats:
            chat.button("Stop").click()
        for chat in chats:
            chat.wait_answers(1)
            expect(chat.page.locator(".agent .note")).to_have_text("You stopped this answer.")
