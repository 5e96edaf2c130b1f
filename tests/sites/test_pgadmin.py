"""pgAdmin: a wrapper module, one gthread worker with 25 threads, Flask-Security's login."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(600)]

REQUIREMENTS = """\
pgadmin4==9.18
gunicorn==23.0.0
"""
SYSTEM_CONFIG = """\
DATA_DIR = "{folder}/data"
LOG_FILE = "{folder}/data/pgadmin4.log"
SQLITE_PATH = "{folder}/data/pgadmin4.db"
SESSION_DB_PATH = "{folder}/data/sessions"
STORAGE_DIR = "{folder}/data/storage"
AZURE_CREDENTIAL_CACHE_DIR = "{folder}/data/azure"
KERBEROS_CCACHE_DIR = "{folder}/data/krb"
UPGRADE_CHECK_ENABLED = False
MASTER_PASSWORD_REQUIRED = False
"""
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with its one worker, and a second user beside the first."""
    folder = environment("pgadmin", REQUIREMENTS)
    package = next(folder.glob("lib/python3.*/site-packages/pgadmin4"))
    python = str(folder / "bin" / "python")
    setup = [python, str(package / "setup.py")]
    command = [
        "gunicorn",
        "--worker-class=gthread",
        "--workers=1",
        "--threads=25",
        "--graceful-timeout=3",
    ]
    with application(
        folder,
        {"agents_site.py": recipe("pgadmin"), "config_local.py": SYSTEM_CONFIG, "data/.keep": ""},
        [*command, "--bind=127.0.0.1:{port}", "agents_site:application"],
        env={
            "PGADMIN_SETUP_EMAIL": "alice@example.org",
            "PGADMIN_SETUP_PASSWORD": PASSWORD,
        },
        prepare=[
            [*setup, "setup-db"],
            [*setup, "add-user", "bob@example.org", PASSWORD, "--admin"],
        ],
    ) as running:
        yield running


class TestPgAdmin(WorkerRules):
    """Its own database is SQLite's; it has one worker."""

    database = "pgadmin4.db"
    keeps_logins = False

    def log_in(self, browser: Browser, name: str) -> None:
        """Fill in the form of the login page."""
        page = browser.get("/login").text
        token = re.search(r"csrfToken&#34;: &#34;([^&]+)&#34;", page) or re.search(
            r'"csrfToken": "([^"]+)"', page
        )
        assert token is not None, page
        form = {
            "csrf_token": token[1],
            "email": f"{name}@example.org",
            "password": PASSWORD,
            "internal_button": "Login",
        }
        answer = browser.post("/authenticate/login", data=form)
        assert answer.url.endswith("/browser/")
        script = browser.get("/browser/js/utils.js").text
        found = re.search(r"csrf_token'\] = '([^']+)'", script)
        assert found is not None, script
        browser.session.headers["X-pgA-CSRFToken"] = found[1]

    def is_page(self, browser: Browser) -> bool:
        """Open the user's preferences, which lie in the database."""
        answer = browser.get("/preferences/get_all")
        return answer.status_code == 200 and len(answer.json()) > 0

    def refused_forgery(self, browser: Browser) -> bool:
        """Save a preference without the token."""
        without = {"X-pgA-CSRFToken": None}
        answer = browser.get("/preferences/get_all", headers=without)
        return "CSRF token is missing" in answer.text
