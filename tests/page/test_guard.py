"""A site whose login ran out while its page was open."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.support.reading import observed
from tests.support.servers import gunicorn

SEND = """async () => {
    const { AgentClient } = await import("/agents/agent-client.js");
    try {
        for await (const event of new AgentClient().chat("s", "hello")) console.log(event.type);
    } catch (error) {
        return [error.name, error.code, error.message];
    }
    return null;
}"""


@pytest.mark.parametrize("guard", ["rude", "page"])
def test_a_login_that_ran_out_is_reported_at_once(page: Page, guard: str) -> None:
    """Whether the site redirects to its login page or shows it, the message is sent once."""
    with gunicorn(f"tests.support.sites:guarded_site({guard!r})") as server:
        page.goto(f"{server.url}/login")
        page.set_extra_http_headers({"X-User": "anna"})
        assert page.evaluate(SEND) is None
        page.set_extra_http_headers({})
        name, code, message = page.evaluate(SEND)
        assert (name, code) == ("HostError", "foreign_answer")
        assert "Log in again" in message
        assert len(observed(server, "guarded", "POST")) == 1
