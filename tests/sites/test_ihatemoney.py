"""IHateMoney: a wrapper module, gunicorn gthread, a project's code as login."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(600)]

REQUIREMENTS = """\
ihatemoney==7.2.1
gunicorn==23.0.0
"""
CONFIG = """\
SECRET_KEY = "for the tests alone"
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/ihatemoney.db"
SESSION_COOKIE_SECURE = False
ACTIVATE_DEMO_PROJECT = False
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with two workers."""
    files = {"agents_site.py": recipe("ihatemoney"), "ihatemoney.cfg": CONFIG}
    command = [
        "gunicorn",
        "--worker-class=gthread",
        "--workers=2",
        "--threads=24",
        "--preload",
        "--graceful-timeout=3",
    ]
    with application(
        environment("ihatemoney", REQUIREMENTS),
        files,
        [*command, "--bind=127.0.0.1:{port}", "agents_site:application"],
        env={"IHATEMONEY_SETTINGS_FILE_PATH": "{folder}/ihatemoney.cfg"},
    ) as running:
        yield running


class TestIHateMoney(WorkerRules):
    """Its database is SQLite's, through Flask-SQLAlchemy 3."""

    database = "ihatemoney.db"

    def log_in(self, browser: Browser, name: str) -> None:
        """Create a project, which opens it."""
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.get("/create").text)
        assert token is not None
        form = {
            "csrf_token": token[1],
            "name": name,
            "id": name,
            "password": f"{name}-code",
            "contact_email": f"{name}@example.org",
            "default_currency": "XXX",
        }
        assert browser.post("/create", data=form).url.endswith(f"/{name}/")

    def is_page(self, browser: Browser) -> bool:
        """Open the project's bills."""
        return "alice" in browser.get("/alice/").text

    def refused_forgery(self, browser: Browser) -> bool:
        """Send the form of a new member without its token: no such member comes to be."""
        browser.post("/alice/members/add", data={"name": "mallory", "weight": "1"})
        return "mallory" not in browser.get("/alice/").text
