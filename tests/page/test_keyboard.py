"""The three pages without a mouse: Tab alone reaches all that can be used."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Site
from tests.page.test_admin import log_in, start_turn
from tests.page.test_docs import open_docs
from tests.support.browser import new_profile
from tests.support.chat import ChatPage
from tests.support.client import new_session
from tests.support.servers import Gunicorn, gunicorn
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

#: Numbers all that can be used now, and returns how many there are.
NUMBER = """() => {
  const usable = "a[href], button, input, select, textarea, summary, [tabindex]";
  const all = [...document.querySelectorAll(usable)].filter(
    (one) => one.checkVisibility() && one.tabIndex >= 0 && !one.disabled);
  all.forEach((one, number) => { one.dataset.reach = number; });
  return all.length;
}"""
#: What has the focus: its number, and whether one sees that it has.
FOCUSED = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const ring = style.outlineStyle !== "none" || style.boxShadow !== "none";
  return [one.dataset.reach ?? "", ring || one.id === "message"]; // its form's border says so
}"""


def unreached(page: Page) -> set[int]:
    """Press Tab through the whole page; returns the numbers of what never had the focus."""
    left = set(range(page.evaluate(NUMBER)))
    assert left
    for _ in range(2 * len(left) + 5):
        page.keyboard.press("Tab")
        number, seen = page.evaluate(FOCUSED)
        if number:
            assert seen, page.locator(f"[data-reach='{number}']").inner_text()
            left.discard(int(number))
    # What was there for a moment alone, such as the way to the newest message, does not count.
    return {number for number in left if page.locator(f"[data-reach='{number}']").is_visible()}


@pytest.fixture(scope="module")
def mounted() -> Iterator[Gunicorn]:
    """A host below /agents, with its operator's page."""
    with gunicorn("tests.support.admin_app:admin_app()", threads=16) as server:
        yield server


def test_chat_by_tab(site: Site, page: Page) -> None:
    """The chats, an answer's tools and thoughts, a question and the message are reached."""
    chat = ChatPage(page, site.url)
    chat.send("report")
    chat.wait_answers(1)
    chat.send("ask object")
    page.get_by_role("group", name="Which object?").wait_for()
    assert unreached(page) == set()
    chat.button("Stop").click()


def test_admin_by_tab(mounted: Gunicorn, browser: Browser) -> None:
    """The login, and then the button of each turn, are reached."""
    session = new_session()
    with start_turn(mounted, "tenant", session), new_profile(browser) as profile:
        page = profile.new_page()
        page.goto(f"{mounted.url}/agents/admin")
        page.locator("#login").wait_for()
        assert unreached(page) == set()
        log_in(page, mounted)
        page.locator("#turns tr").filter(has_text=session).wait_for()
        assert unreached(page) == set()


def test_docs_by_tab(mounted: Gunicorn, browser: Browser) -> None:
    """Each route and type is reached, and what an open one holds."""
    with new_profile(browser) as profile:
        page = profile.new_page()
        open_docs(page, mounted.url)
        page.locator("#post_chat > summary").click()
        assert unreached(page) == set()


def test_admin_says_which_token_it_wants(browser: Browser) -> None:
    """In development mode a newcomer who tries ``dev`` learns where the right one is."""
    with gunicorn(env={"AGENT_ADMIN": "1"}) as server, new_profile(browser) as profile:
        page = profile.new_page()
        page.goto(f"{server.url}/admin")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("the token that the host's log shows at its start")
        page.get_by_label("A token with the scope admin").fill("dev")
        page.keyboard.press("Enter")
        expect(alert).to_have_text(
            "This needs the scope admin. In development mode the token that the host's log shows"
            " at its start has it."
        )
        line = r"what needs the scope admin takes the token (\S+)"
        wait_for(lambda: re.search(line, server.log()), "the token is in the log")
        [token] = set(re.findall(line, server.log()))
        page.get_by_label("A token with the scope admin").fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("Live")
