"""changedetection.io: a wrapped factory, Werkzeug's server through Flask-SocketIO, one user."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import SiteRules
from tests.sites.site import Browser, Site, application, new_session, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

REQUIREMENTS = """\
changedetection.io==0.60.10
"""
PASSWORD = "a-password-of-tests"
SALT = b"0123456789abcdef0123456789abcdef"
KEY = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, 100_000)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with its password set."""
    folder = environment("changedetection", REQUIREMENTS)
    python = str(folder / "bin" / "python")
    with application(
        folder,
        {"agents_site.py": recipe("changedetection"), "data/.keep": ""},
        [python, "agents_site.py", "-d", "{folder}/data", "-h", "127.0.0.1", "-p", "{port}"],
        prefix="/api/agents",
        env={
            "SALTED_PASS": base64.b64encode(SALT + KEY).decode(),
            "DISABLE_VERSION_CHECK": "true",
        },
    ) as running:
        yield running


class TestChangedetection(SiteRules):
    """It has one process, one user, and files instead of a database."""

    def log_in(self, browser: Browser, name: str) -> None:
        """Fill in the form of the login page; it has one user."""
        assert name == "alice"
        page = browser.get("/login").text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token is not None, page[:3000]
        browser.post("/login", data={"csrf_token": token[1], "password": PASSWORD})

    def is_page(self, browser: Browser) -> bool:
        """Open the settings, which are for its user."""
        answer = browser.get("/settings")
        return answer.status_code == 200 and "/login" not in answer.url

    def refused_forgery(self, browser: Browser) -> bool:
        """Add a watch by its form without the token."""
        answer = browser.post("/form/add/quickwatch", data={"url": "http://127.0.0.1/"})
        return answer.status_code == 400 and "CSRF" in answer.text

    def test_login_decides_the_tenant(self, site: Site) -> None:
        """A stranger is refused in JSON; its one user reads what that user began."""
        session = new_session()
        stranger = site.browser().call("POST", f"/chat/{session}", {"message": "count=1"})
        assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthorized")
        alice = self.user(site, "alice")
        with alice.chat(session, "count=1") as stream:
            assert stream.until("done")
        assert alice.call("GET", f"/session/{session}").status_code == 200
