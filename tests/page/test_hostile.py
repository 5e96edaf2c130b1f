"""The pages in a browser against what a hostile agent, tenant or address puts into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.test_admin import SLOW, log_in, start_turn
from tests.support.browser import new_profile
from tests.support.chat import ChatPage
from tests.support.client import new_session
from tests.support.servers import Gunicorn, gunicorn, redis_server

EVIL: Final = "https://evil.example"
RUN: Final = "document.title='owned'"
#: Markdown whose links would run something, if one of them were a link.
LINKS: Final = [
    f"[a](javascript:{RUN})",
    f"[a](JaVaScRiPt:{RUN})",
    f"[a](&#106;avascript:{RUN}) [b](javascript&colon;{RUN}) [c](java&Tab;script:{RUN})",
    f"[a](\x01javascript:{RUN}) [b](\u2028javascript:{RUN}) [c](java\nscript:{RUN})",
    f"[a](<javascript:{RUN}>) [b]( javascript:{RUN} ) [c](%6aavascript:{RUN})",
    f"[a](data:text/html;base64,PHNjcmlwdD4xPC9zY3JpcHQ+) [b](blob:{EVIL}/x) [c](vbscript:x)",
    f"[a](view-source:{EVIL}) [b](filesystem:{EVIL}/t/x) [c](//evil.example) [d](\\\\evil.example)",
    f"<javascript:{RUN}> <data:text/html,x> javascript:{RUN} [ref]: javascript:{RUN} [ref]",
    f"[![a](javascript:{RUN})](javascript:{RUN}) [**b**](javascript:{RUN})",
    f'[a](mailto:x@example.org" onclick="{RUN}) <mailto:x@y"onclick={RUN}>',
    f"[a](https://user:pass@evil.example/\"'><script>{RUN}</script>)",
    f'| a | b |\n|---|---|\n| [x](javascript:{RUN}) | <img src=x onerror="{RUN}"> |',
    f"> - [x](javascript:{RUN})\n>   ```{RUN}\n>   <script>{RUN}</script>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'></noscript>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}></style>",
]
#: Addresses behind a page's own, in their hash and in their query.
ADDRESSES: Final = [
    f"#<img src=x onerror={RUN}>",
    f"#javascript:{RUN}",
    "#%",
    "#%E0%A4%A",
    f"?x=<script>{RUN}</script>#__proto__",
]
#: What tenants may be called: by an identity provider, where anyone may have signed up.
TENANTS: Final = [
    f'"><img src=x onerror={RUN}>',
    f"javascript:{RUN}",
    "__proto__",
    "constructor",
    "x" * 128,
]
MARKUP: Final = "img, script:not([src]), iframe, object, embed, base, [onclick], [onerror]"


@contextmanager
def watched(browser: Browser, origin: str) -> Iterator[Page]:
    """A page that may ask nobody but its origin, and opens nothing; fails if it has."""
    with new_profile(browser) as profile:
        foreign: list[str] = []
        profile.on("request", lambda one: foreign.append(one.url))
        page = profile.new_page()
        page.on("dialog", lambda dialog: foreign.append(dialog.message))
        yield page
        assert [one for one in foreign if not one.startswith((origin, "data:"))] == []


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A site with the page for operators, and the page of the routes."""
    app = "tests.support.admin_app:admin_app()"
    with redis_server() as store, gunicorn(app, env={"AGENT_REDIS_URL": store.url}) as running:
        yield running


def can_run(page: Page) -> list[str]:
    """Which ways to run a text the page's policy leaves open, but eval, which a debugger may."""
    found: list[str] = page.evaluate(
        """() => {
          const open = [];
          const attempt = (name, act) => { try { act(); open.push(name); } catch {} };
          attempt("innerHTML", () => { document.createElement("p").innerHTML = "<b>x</b>"; });
          attempt("srcdoc", () => { document.createElement("iframe").srcdoc = "x"; });
          attempt("policy", () => trustedTypes.createPolicy("x", { createHTML: (x) => x }));
          const script = document.createElement("script");
          attempt("script", () => { script.textContent = "document.title = 'owned'"; });
          document.head.append(script);
          return open;
        }"""
    )
    return found


@pytest.mark.parametrize("path", ["/agents/admin", "/agents/docs"])
def test_addresses_run_nothing(server: Gunicorn, browser: Browser, path: str) -> None:
    """What stands behind a page's address is no markup; nor could any text there be run."""
    with watched(browser, server.url) as page:
        page.goto(f"{server.url}{path}")
        title = page.title()
        for number, address in enumerate(ADDRESSES):
            page.goto("about:blank")
            page.goto(f"{server.url}{path}{address}")
            ready = page.locator("#schemas, #login").first
            ready.wait_for()
            assert page.title() == title, number
            assert page.locator(MARKUP).count() == 0, number
        assert can_run(page) == []
        assert page.title() == title


@pytest.mark.slow
def test_tenants_names_do_nothing_to_operators(server: Gunicorn, browser: Browser) -> None:
    """Each is shown as it is, apart from what is beside it, and its own turn is stopped."""
    with ExitStack() as stack:
        sessions = [new_session() for _ in TENANTS]
        for tenant, session in zip(TENANTS, sessions):
            stack.enter_context(start_turn(server, tenant, session))
        page = stack.enter_context(watched(browser, server.url))
        log_in(page, server)
        rows = page.locator("#turns tr")
        expect(rows).to_have_count(len(TENANTS), timeout=SLOW)
        assert page.locator(MARKUP).count() == 0
        for session in sessions:
            row = rows.filter(has_text=session)
            row.get_by_role("button").click()
            expect(row).to_have_count(0, timeout=SLOW)
        assert page.title() == "Agent host: live"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_link_of_an_agent_runs_anything(browser: Browser) -> None:
    """Every link that its Markdown makes is clicked: pages of the web open, nothing runs here."""
    with (
        gunicorn(env={"AGENT_FACTORY": "tests.support.page_agent:echo"}) as server,
        new_profile(browser) as profile,
    ):
        profile.route(f"{EVIL}/**", lambda route: route.fulfill(body="evil"))
        opened: list[Page] = []
        for number, text in enumerate(LINKS):
            page = profile.new_page()
            chat = ChatPage(page, server.url, path=f"/?{number}")
            page.locator("#message").fill(text)
            page.keyboard.press("Enter")
            page.locator(".question input").fill(text.replace("\n", " "))
            page.keyboard.press("Enter")
            chat.wait_answers(1)
            page.on("popup", lambda one: opened.append(one))  # noqa: PLW0108 - playwright marks what it is given
            for link in page.locator("#log a").all():
                if (link.get_attribute("href") or "").startswith("http"):
                    link.click(modifiers=["ControlOrMeta"])
            schemes = page.evaluate("[...document.querySelectorAll('a')].map((a) => a.protocol)")
            assert set(schemes) <= {"https:", "http:", "mailto:"}, text
            assert page.title() == "Agent", text
            assert page.locator("#log").locator(MARKUP).count() == 0, text
            page.close()
        for one in opened:
            assert one.evaluate("window.opener") is None
