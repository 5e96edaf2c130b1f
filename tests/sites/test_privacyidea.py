"""privacyIDEA: a wrapper module, two gthread workers with 25 threads, its own tokens as login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(600)]

REQUIREMENTS = """\
privacyidea==3.14
gunicorn==23.0.0
"""
CONFIG = """\
SECRET_KEY = "for the tests alone"
PI_PEPPER = "for the tests alone too"
PI_ENCFILE = "{folder}/enckey"
PI_AUDIT_KEY_PRIVATE = "{folder}/private.pem"
PI_AUDIT_KEY_PUBLIC = "{folder}/public.pem"
PI_LOGFILE = "{folder}/privacyidea.log"
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/privacyidea.db"
"""
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with two administrators."""
    folder = environment("privacyidea", REQUIREMENTS)
    manage = [str(folder / "bin" / "python"), str(folder / "bin" / "pi-manage")]
    command = [
        "gunicorn",
        "--worker-class=gthread",
        "--workers=2",
        "--threads=25",
        "--graceful-timeout=3",
    ]
    with application(
        folder,
        {"agents_site.py": recipe("privacyidea"), "pi.cfg": CONFIG},
        [*command, "--bind=127.0.0.1:{port}", "agents_site:application"],
        env={"PRIVACYIDEA_CONFIGFILE": "{folder}/pi.cfg"},
        prepare=[
            [*manage, "setup", "create_enckey"],
            [*manage, "setup", "create_audit_keys"],
            [*manage, "setup", "create_tables"],
            [*manage, "admin", "add", "alice", "--password", PASSWORD],
            [*manage, "admin", "add", "bob", "--password", PASSWORD],
        ],
    ) as running:
        yield running


class TestPrivacyIdea(WorkerRules):
    """Its database is SQLite's, through Flask-SQLAlchemy 3."""

    database = "privacyidea.db"

    def log_in(self, browser: Browser, name: str) -> None:
        """Ask for a token, as its own web page does."""
        answer = browser.post("/auth", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        browser.session.headers["Authorization"] = answer.json()["result"]["value"]["token"]

    def is_page(self, browser: Browser) -> bool:
        """List the tokens, which lie in its database."""
        answer = browser.get("/token/")
        return answer.status_code == 200 and "tokens" in answer.json()["result"]["value"]

    def refused_forgery(self, browser: Browser) -> bool:
        """Ask without the header that a page of another origin cannot send."""
        answer = browser.get("/token/", headers={"Authorization": None})
        return answer.status_code == 401
