"""Superset 4 and 6: its list of blueprints, gunicorn gthread, Flask-Login as login."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

#: Pinned beside it is what its image's lock file pins, where newer packages break it.
REQUIREMENTS = {
    "superset-4": """\
apache-superset==4.1.4
flask==2.3.3
flask-cors==4.0.2
flask-sqlalchemy==2.5.1
gunicorn==23.0.0
msgspec==0.19.0
redis==4.6.0
sqlalchemy==1.4.54
setuptools<81
marshmallow<4
pillow
""",
    "superset-6": """\
apache-superset==6.1.0
cachetools==6.2.1
click==8.2.1
flask-caching==2.3.1
flask-limiter==3.12
gunicorn==23.0.0
limits==5.1.0
pillow
""",
}
CONFIG = """\
SECRET_KEY = "for the tests alone, and long enough for them"
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/superset.db"
WTF_CSRF_ENABLED = True
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {"force_https": False, "content_security_policy": None,
                   "session_cookie_secure": False}
"""
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module", params=list(REQUIREMENTS))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run the site with two workers and two administrators."""
    name = str(request.param)
    folder = environment(name, REQUIREMENTS[name])
    superset = str(folder / "bin" / "superset")
    create = [superset, "fab", "create-admin", "--password", PASSWORD]
    names = ("--username", "--firstname", "--lastname", "--email")
    people = [
        [*create, *(part for name in names for part in (name, f"{who}@example.org"))]
        for who in ("alice", "bob")
    ]
    command = ["gunicorn", "--worker-class=gthread", "--workers=2", "--threads=24"]
    with application(
        folder,
        {"superset_config.py": recipe("superset") + CONFIG},
        [*command, "--graceful-timeout=3", "--bind=127.0.0.1:{port}", "superset.app:create_app()"],
        env={"SUPERSET_CONFIG_PATH": "{folder}/superset_config.py", "FLASK_APP": "superset"},
        prepare=[[superset, "db", "upgrade"], *people, [superset, "init"]],
    ) as running:
        yield running


class TestSuperset(WorkerRules):
    """Its database is SQLite's, through Flask-SQLAlchemy 2.5 or 3.0."""

    database = "superset.db"

    def log_in(self, browser: Browser, name: str) -> None:
        """Fill in the form of the login page."""
        form = {
            "csrf_token": token_of(browser),
            "username": f"{name}@example.org",
            "password": PASSWORD,
        }
        browser.post("/login/", data=form)

    def is_page(self, browser: Browser) -> bool:
        """List the dashboards, which lie in its database."""
        answer = browser.get("/api/v1/dashboard/")
        return answer.status_code == 200 and "result" in answer.json()

    def refused_forgery(self, browser: Browser) -> bool:
        """Create a dashboard without the token."""
        answer = browser.post("/api/v1/dashboard/", json={"dashboard_title": "forged"})
        return answer.status_code == 400 and "CSRF" in answer.text


def token_of(browser: Browser) -> str:
    """The token of the login page's form."""
    page = browser.get("/login/").text
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page) or re.search(
        r"csrf_token(?:&#34;|\")?: ?(?:&#34;|\")([^&\"]+)", page
    )
    assert found is not None, page[:3000]
    return found[1]
