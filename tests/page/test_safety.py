"""Nothing that a user, an agent or a tool says runs on the page or leaves it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Site
from tests.support.chat import ChatPage
from tests.support.servers import gunicorn

EVIL = "https://evil.example"
SCRIPT = f"document.title='owned';fetch('{EVIL}')"
PAYLOADS = [
    f'<img src="{EVIL}/x.png" onerror="{SCRIPT}"><script>{SCRIPT}</script>',
    f"[click](javascript:{SCRIPT}) [tab](java\tscript:{SCRIPT}) <javascript:{SCRIPT}>",
    f"[data](data:text/html,<script>{SCRIPT}</script>) [vb](vbscript:x) [file](file:///etc/passwd)",
    f"![image]({EVIL}/x.png) ![js](javascript:{SCRIPT})",
    f'<svg onload="{SCRIPT}"></svg><iframe src="{EVIL}"></iframe><style>@import "{EVIL}"</style>',
    f'[a]({EVIL}/" onmouseover="{SCRIPT}) [b]({EVIL} "t" onclick="{SCRIPT}")',
    f"```<img src={EVIL}>\n</code></pre><script>{SCRIPT}</script>\n```",
    f'<a href="javascript:{SCRIPT}">x</a> <form action="{EVIL}"><button>y</button></form>',
]
FRAGMENTS = [
    *("<img src=x onerror=alert(1)>", "..", "../../sessions", "a b", "javascript:alert(1)"),
    *("%2e%2e", "a/cancel", "x" * 129),
]
DANGEROUS = (
    "img, script, svg, iframe, style, form:not(.question), object, embed, [onclick], [style]"
)


def assert_harmless(chat: ChatPage) -> None:
    """Nothing ran, nothing was asked of others, no link leads to anything but the web and mail."""
    assert chat.page.title() == "Agent"
    assert chat.page.locator("#log").locator(DANGEROUS).count() == 0
    schemes = chat.page.evaluate("[...document.querySelectorAll('#log a')].map((a) => a.protocol)")
    assert set(schemes) <= {"https:", "http:", "mailto:"}
    relations = chat.page.evaluate("[...document.querySelectorAll('#log a')].map((a) => a.rel)")
    assert set(relations) <= {"noopener noreferrer"}
    chat.assert_quiet()


@pytest.mark.slow
def test_payloads_everywhere(page: Page) -> None:
    """In messages, thoughts, tool names, inputs, outputs, questions, schemas, errors, titles."""
    with gunicorn(env={"AGENT_FACTORY": "tests.support.page_agent:echo"}) as server:
        for number, payload in enumerate(PAYLOADS, start=1):
            chat = ChatPage(page, server.url, path=f"/?{number}")
            chat.page.locator("#message").fill(payload)
            page.keyboard.press("Enter")
            question = page.locator(".question input")
            question.fill(payload)
            page.keyboard.press("Enter")
            chat.wait_answers(1)
            for summary in page.locator("#log summary").all():
                summary.click()
            for link in page.locator("#log a").all():
                link.hover()
            expect(page.locator(".user")).to_contain_text(payload.split()[0])
            chat.send(f"fail {payload}")
            chat.wait_answers(2)
            expect(page.locator(".agent").last.locator(".fault")).to_be_visible()
            page.reload()
            page.locator(".agent").first.wait_for()
            assert_harmless(chat)


def test_session_ids_in_the_address(site: Site, page: Page) -> None:
    """An address that names no session opens an empty chat, and never reaches the host."""
    for number, fragment in enumerate(FRAGMENTS):
        chat = ChatPage(page, site.url, path=f"/?{number}#{fragment}")
        expect(page.locator(".welcome")).to_be_visible()
        expect(page.get_by_role("navigation", name="Chats")).to_be_visible()
        known = r"/(\?\d|page/(vendor/)?[\w.-]+|sessions\?limit=\d+|session/[0-9a-f-]{32,36})"
        asked = [url.removeprefix(site.url) for url in chat.requested if url.startswith("http")]
        assert [path for path in asked if not re.fullmatch(known, path)] == []
        assert_harmless(chat)
