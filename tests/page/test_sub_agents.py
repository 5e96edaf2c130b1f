"""Sub-agents on the chat page: folded into the call that they work for."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import Site
from tests.page.test_access import faults
from tests.support.chat import ChatPage


def finder_of(page: Page) -> Locator:
    """The line of the first sub-agent's call."""
    return page.locator(".agent > .tool > summary")


def test_what_sub_agents_do_is_folded_into_their_calls(site: Site, page: Page) -> None:
    """By keyboard one reads what each did; a reload in the middle loses and doubles nothing."""
    chat = ChatPage(page, site.url)
    chat.send("delegate wait")
    for _ in range(2):
        chat.button("Yes").wait_for()
        expect(finder_of(page)).to_contain_text("finder")
        finder = page.get_by_role("region", name="finder", include_hidden=True)
        expect(finder.locator("> .prose")).to_have_text("I found two")
        expect(finder).to_be_hidden()
        assert chat.answer() == "I ask around."
        page.reload()
    chat.button("Yes").click()
    chat.wait_answers(1)
    assert chat.answer() == "I ask around. It is forty." == chat.said()
    finder_of(page).focus()
    page.keyboard.press("Enter")
    finder = page.get_by_role("region", name="finder")
    expect(finder.locator("> .note")).to_have_text("Looking around")
    expect(finder.locator("> .prose")).to_have_text("I found two places.")
    page.keyboard.press("Tab")  # the input that is shown, which scrolls
    page.keyboard.press("Tab")
    expect(finder.locator("> .tool > summary")).to_be_focused()
    page.keyboard.press("Enter")
    reader = finder.get_by_role("region", name="reader")
    expect(reader.locator("> .prose")).to_have_text("Page seven says forty.")
    expect(reader.locator("> .tool[data-state=complete]")).to_contain_text("forty")
    expect(page.locator(".tool[data-state=complete]")).to_have_count(3)
    assert faults(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    chat.assert_quiet()
