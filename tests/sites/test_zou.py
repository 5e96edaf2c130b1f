"""Zou: a wrapper module, gunicorn gevent, its own access tokens as login, PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe
from tests.support.postgres import postgres

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

REQUIREMENTS = """\
zou==1.0.97
"""
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with two workers and two administrators."""
    folder = environment("zou", REQUIREMENTS)
    zou = str(folder / "bin" / "zou")
    people = [
        [zou, "create-admin", f"{who}@example.org", "--password", PASSWORD]
        for who in ("alice", "bob")
    ]
    command = ["gunicorn", "--worker-class=gevent", "--workers=2", "--graceful-timeout=3"]
    with (
        postgres() as server,
        application(
            folder,
            {"agents_site.py": recipe("zou")},
            [*command, "--bind=127.0.0.1:{port}", "agents_site:application"],
            env={
                "SECRET_KEY": "for the tests alone, and long enough for them",
                "DB_HOST": "127.0.0.1",
                "DB_PORT": str(server.port),
                "DB_USERNAME": "site",
                "DB_DATABASE": "postgres",
                "KV_PORT": "{redis_port}",
                "MAIL_CHECK_DELIVERABILITY": "False",  # it would ask the Internet
                "PREVIEW_FOLDER": "{folder}/previews",
                "TMP_DIR": "{folder}/tmp",
            },
            prepare=[[zou, "init-db"], *people],
        ) as running,
    ):
        running.postgres = server
        yield running


class TestZou(WorkerRules):
    """Its database is PostgreSQL's, through Flask-SQLAlchemy 3 and psycopg on gevent."""

    def log_in(self, browser: Browser, name: str) -> None:
        """Send the password; a browser gets the token in a cookie."""
        browser.session.headers["User-Agent"] = "Mozilla/5.0 Gecko/20100101 Firefox/140.0"
        form = {"email": f"{name}@example.org", "password": PASSWORD}
        assert browser.post("/auth/login", json=form).json()["login"]

    def is_page(self, browser: Browser) -> bool:
        """Ask who has logged in, which lies in the database."""
        answer = browser.get("/auth/authenticated")
        return answer.status_code == 200 and "@example.org" in answer.json()["user"]["email"]

    def refused_forgery(self, browser: Browser) -> bool:
        """Look for the cookie's rule: Zou has no forms, and lets no other site send its cookie."""
        cookies = {cookie.name: cookie for cookie in browser.session.cookies}
        return cookies["access_token_cookie"].get_nonstandard_attr("SameSite") == "Lax"

    def test_guards_and_error_pages_stay(self, site: Site) -> None:
        """Zou's cookie and its 404, JSON of its own shape, stay as they are."""
        alice = self.user(site, "alice")
        assert self.refused_forgery(alice)
        missing = alice.get("/no-such-page-of-the-site")
        assert (missing.status_code, missing.json()["error"]) == (404, True)
        below = alice.call("GET", "/no/such/route")
        assert (below.status_code, below.json()["code"]) == (404, "not_found")
