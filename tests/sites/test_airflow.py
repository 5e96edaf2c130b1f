"""Airflow 2: a plugin, gunicorn by Airflow's own command, Flask-Login as login."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

REQUIREMENTS = """\
apache-airflow==2.11.0
flask==2.2.5
werkzeug==2.2.3
flask-sqlalchemy==2.5.1
sqlalchemy==1.4.54
gunicorn==23.0.0
pendulum==3.1.0
"""
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the web server with two workers and two administrators."""
    folder = environment("airflow", REQUIREMENTS)
    airflow = [str(folder / "bin" / "python"), str(folder / "bin" / "airflow")]
    create = [*airflow, "users", "create", "--role", "Admin", "--password", PASSWORD]
    names = ("--username", "--firstname", "--lastname", "--email")
    people = [
        [*create, *(part for name in names for part in (name, f"{who}@example.org"))]
        for who in ("alice", "bob")
    ]
    with application(
        folder,
        {"plugins/agents.py": recipe("airflow")},
        [*airflow, "webserver", "--hostname", "127.0.0.1", "--port", "{port}", "--workers", "2"],
        env={
            "AIRFLOW_HOME": "{folder}",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:///{folder}/airflow.db",
            "AIRFLOW__WEBSERVER__SECRET_KEY": "for the tests alone",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "GUNICORN_CMD_ARGS": "--threads 24 --graceful-timeout 3",
        },
        prepare=[[*airflow, "db", "migrate"], *people],
    ) as running:
        yield running


class TestAirflow(WorkerRules):
    """Its database is SQLite's, through sessions of its own and Flask-SQLAlchemy 2.5."""

    database = "airflow.db"

    def log_in(self, browser: Browser, name: str) -> None:
        """Fill in the form of the login page."""
        page = browser.get("/login/").text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token is not None, page[:3000]
        form = {"csrf_token": token[1], "username": f"{name}@example.org", "password": PASSWORD}
        assert "/login" not in browser.post("/login/", data=form).url

    def is_page(self, browser: Browser) -> bool:
        """Open the list of DAGs."""
        answer = browser.get("/home")
        return answer.status_code == 200 and "/login" not in answer.url

    def refused_forgery(self, browser: Browser) -> bool:
        """Create a pool by its form without the token."""
        answer = browser.post("/pool/add", data={"pool": "forged", "slots": "1"})
        return answer.status_code == 400 and "CSRF" in answer.text
