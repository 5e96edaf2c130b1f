"""The operator's page: what all workers do, and a stop for each turn, for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.test_access import faults
from tests.support.browser import new_profile
from tests.support.client import Client, new_session
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.sse import Stream

EVIL = "<img src=https://evil.example/x.png onerror=document.title='owned'><script>1</script>"
SLOW = 30_000


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers and Redis."""
    app = "tests.support.admin_app:admin_app()"
    with (
        redis_server() as store,
        gunicorn(app, workers=2, threads=16, env={"AGENT_REDIS_URL": store.url}) as server,
    ):
        yield server


def start_turn(server: Gunicorn, tenant: str, session: str, message: str = "go") -> Stream:
    """Begin a turn that goes on until it is cancelled."""
    client = Client(server, token=tenant)
    return client.stream("POST", f"/chat/{session}", {"message": message}, seconds=60)


def log_in(page: Page, server: Gunicorn) -> None:
    """Open the page and enter the operator's token."""
    page.goto(f"{server.url}/agents/admin")
    page.get_by_label("A token with the scope admin").fill("operator")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Live", timeout=SLOW)


def test_turns_are_shown_and_stopped(server: Gunicorn, browser: Browser) -> None:
    """The turns of several tenants are there with their rates; by keyboard one of them is ended."""
    sessions = [(f"tenant-{number}", new_session()) for number in range(3)]
    with ExitStack() as stack:
        streams = [stack.enter_context(start_turn(server, *each)) for each in sessions]
        profile = stack.enter_context(new_profile(browser))
        page = profile.new_page()
        foreign: list[str] = []
        page.on("request", lambda one: foreign.append(one.url))
        log_in(page, server)
        rows = page.locator("#turns tr")
        expect(rows).to_have_count(len(sessions), timeout=SLOW)
        first = rows.filter(has_text=sessions[0][1])
        expect(first.locator("[data-name='Tokens/s']")).not_to_have_text("0.0", timeout=SLOW)
        expect(first.locator("[data-name=State]")).to_have_text("runs")
        expect(page.locator("#turn-count")).to_have_text(str(len(sessions)))
        expect(page.locator("#hour-text")).to_contain_text("at once")
        assert page.locator("#chart rect").count() == 60
        first.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(rows).to_have_count(len(sessions) - 1, timeout=SLOW)
        assert list(streams[0])[-1].data == {"type": "cancelled", "reason": "user"}
        # The focus of a keyboard stays in the table.
        expect(rows.first.get_by_role("button")).to_be_focused()
        page.reload()
        expect(rows).to_have_count(len(sessions) - 1, timeout=SLOW)
        assert [url for url in foreign if not url.startswith((server.url, "data:"))] == []


@pytest.mark.slow
def test_names_are_text(server: Gunicorn, browser: Browser) -> None:
    """Markup in a tenant's name is shown as it is, and does nothing."""
    session = new_session()
    with start_turn(server, EVIL, session), new_profile(browser) as profile:
        page = profile.new_page()
        log_in(page, server)
        row = page.locator("#turns tr").filter(has_text=session)
        expect(row.locator("[data-name=Tenant]")).to_have_text(EVIL, timeout=SLOW)
        assert page.title() == "Agent host: live"
        assert page.locator("img, script:not([src])").count() == 0
        row.get_by_role("button").click()
        expect(row).to_have_count(0, timeout=SLOW)


@pytest.mark.slow
def test_who_may_not_look_is_told_why(server: Gunicorn, browser: Browser) -> None:
    """Without the scope the page tells so and asks again; an operator's cookie is enough."""
    with new_profile(browser) as profile:
        page = profile.new_page()
        page.goto(f"{server.url}/agents/admin")
        page.get_by_label("A token with the scope admin").fill("tenant")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_have_text("This needs the scope admin.")
        expect(page.locator("#live")).to_be_hidden()
        cookie = {"name": "login", "value": "operator", "url": server.url}
        profile.add_cookies([cookie])  # type: ignore[list-item] # playwright's own dictionary
        page.reload()
        expect(page.get_by_role("status")).to_have_text("Live", timeout=SLOW)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_admin_for_everybody(
    server: Gunicorn, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    """Axe finds no serious fault, wide or on a phone, which shows the page in its width."""
    session = new_session()
    with (
        start_turn(server, "tenant", session, "ask"),
        new_profile(browser, color_scheme=scheme) as profile,
    ):
        page = profile.new_page()
        page.goto(f"{server.url}/agents/admin")
        page.locator("#login").wait_for()
        assert faults(page) == []
        log_in(page, server)
        state = page.locator("#turns tr").filter(has_text=session).locator("[data-name=State]")
        expect(state).to_have_text("asks", timeout=SLOW)
        assert faults(page) == []
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert faults(page) == []
