"""The page for everybody: screen readers, keyboards, phones, both themes."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Site
from tests.support.browser import new_profile
from tests.support.chat import ChatPage
from tests.support.node import CLIENTS, node_program

SERIOUS = ("minor", "moderate", "serious", "critical")


def faults(page: Page) -> list[tuple[str, list[str]]]:
    """What axe holds against the page as it is now: rules and places, the serious ones."""
    node_program()  # installs it with the other packages
    page.evaluate((CLIENTS / "node_modules/axe-core/axe.min.js").read_text())
    found: dict[str, Any] = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe(site: Site, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """Axe finds no serious fault: empty, with an answer of every kind, a question, a dialog."""
    with new_profile(browser, color_scheme=scheme) as profile:
        page = profile.new_page()
        chat = ChatPage(page, site.url)
        assert faults(page) == []
        chat.send("report")
        chat.wait_answers(1)
        for summary in page.locator("summary").all():
            summary.click()
        chat.send("ask object")
        page.get_by_role("group", name="Which object?").wait_for()
        assert faults(page) == []
        page.set_viewport_size({"width": 360, "height": 740})
        chat.button("Chats").click()
        page.get_by_role("dialog", name="Chats").wait_for()
        page.get_by_role("button", name="Delete “report”").first.click()
        page.get_by_role("dialog", name="Delete").wait_for()
        assert faults(page) == []
        chat.button("Keep it").click()
        chat.button("Close the list of chats").click()
        chat.button("Stop").click()


@pytest.mark.slow
def test_screen_readers_are_told_whole_sentences(site: Site, page: Page) -> None:
    """Live regions speak a few times an answer, not at each token, and tell the answer whole."""
    chat = ChatPage(page, site.url)
    page.evaluate(
        """() => {
            window.spoken = [];
            const live = "[aria-live], [role=status], [role=alert], [role=log]";
            const note = (changes) => {
                for (const { target } of changes) {
                    const region = (target.closest ? target : target.parentElement).closest(live);
                    if (region?.textContent) window.spoken.push(region.textContent);
                }
            };
            const what = { subtree: true, childList: true, characterData: true };
            new MutationObserver(note).observe(document.body, what);
        }"""
    )
    chat.send("count to 40")
    chat.wait_answers(1)
    announcer = page.locator("#announcer")
    expect(announcer).to_contain_text("The agent has answered: I am the demo agent")
    spoken = page.evaluate("window.spoken")
    assert len(spoken) <= 4, spoken


@pytest.mark.slow
def test_drawer_by_keyboard(site: Site, page: Page) -> None:
    """On a phone the chats lie in a drawer that the keyboard opens, is kept in, and closes."""
    page.set_viewport_size({"width": 360, "height": 740})
    chat = ChatPage(page, site.url)
    menu = chat.button("Chats")
    menu.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog", name="Chats")
    expect(drawer.get_by_role("button", name="New chat")).to_be_focused()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(menu).to_be_focused()


@pytest.mark.slow
def test_scrolled_up_reader_is_left_in_peace(site: Site, page: Page) -> None:
    """Who has scrolled up stays there while words come; a button leads to the newest."""
    page.set_viewport_size({"width": 360, "height": 260})
    chat = ChatPage(page, site.url)
    chat.send("count to 300")
    log = page.locator("#log")
    expect(log).to_contain_text(" 40 ", timeout=30_000)
    log.evaluate("(node) => node.scrollTo(0, 0)")
    to_end = chat.button("↓ Newest message")
    to_end.wait_for()
    chat.wait_text(" 55 ")
    assert log.evaluate("(node) => node.scrollTop") == 0
    to_end.click()
    expect(to_end).to_be_hidden()
    assert log.evaluate("(node) => node.scrollTop") > 0
    chat.button("Stop").click()
    chat.wait_answers(1)
