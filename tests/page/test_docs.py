"""The page that describes the routes: whole, for everybody, with nobody else's help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.page.test_access import faults
from tests.support.browser import new_profile
from tests.support.servers import Gunicorn, gunicorn


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A host below /agents."""
    with gunicorn("tests.support.openapi_app:openapi_app()") as server:
        yield server


def open_docs(page: Page, url: str) -> list[str]:
    """Open the page; returns what it asks for, and what it complains about, from now on."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda request: told.append(request.url))
    page.goto(f"{url}/agents/docs")
    page.locator("#schemas").wait_for()
    return told


def test_docs_show_the_whole_document(server: Gunicorn, browser: Browser) -> None:
    """Every route and type is there, nothing is asked of anybody else, no policy is broken."""
    document = requests.get(f"{server.url}/agents/openapi.json", timeout=10).json()
    with new_profile(browser) as profile:
        page = profile.new_page()
        told = open_docs(page, server.url)
        operations = [one for methods in document["paths"].values() for one in methods.values()]
        for operation in operations:
            entry = page.locator(f"#{operation['operationId']}")
            expect(entry.locator("> summary")).to_contain_text(operation["summary"].split("`")[0])
        names = page.locator("#schemas details > summary .path").all_inner_texts()
        assert names == list(document["components"]["schemas"])
        own = [
            f"{server.url}/agents/{name}" for name in ("docs", "docs.css", "docs.js", "theme.css")
        ]
        asked = [one for one in told if not one.startswith("data:")]
        assert sorted(asked) == sorted([*own, f"{server.url}/agents/openapi.json"])


@pytest.mark.slow
def test_docs_by_keyboard(server: Gunicorn, browser: Browser) -> None:
    """A route opens by Enter, its types are links that open them, the filter narrows the page."""
    with new_profile(browser) as profile:
        page = profile.new_page()
        open_docs(page, server.url)
        page.locator("#post_chat > summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#post_chat")).to_have_attribute("open", "")
        expect(page.locator("#post_chat")).to_contain_text("1 adds event: lines")
        page.locator("#post_chat").get_by_role("link", name="ChatBody").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#schema-ChatBody")).to_have_attribute("open", "")
        expect(page.locator("#schema-ChatBody > summary")).to_be_focused()
        page.get_by_label("Filter").fill("poll")
        expect(page.get_by_role("status")).to_have_text("2 found")
        expect(page.locator("#get_poll")).to_be_visible()
        expect(page.locator("#post_chat")).to_be_hidden()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_docs_for_everybody(
    server: Gunicorn, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    """Axe finds no serious fault, and a phone shows the page in its width."""
    size = {"width": 360, "height": 740}
    with new_profile(browser, color_scheme=scheme, viewport=size) as profile:
        page = profile.new_page()
        open_docs(page, server.url)
        for name in ("post_chat", "websocket", "schema-Event", "schema-RunBody"):
            page.locator(f"#{name} > summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert faults(page) == []
