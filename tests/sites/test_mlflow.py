"""MLflow: an entry point, uvicorn around Flask by MLflow's own command, basic authentication."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(600)]

REQUIREMENTS = """\
mlflow[auth]==3.17.2
"""
METADATA = """\
Metadata-Version: 2.1
Name: agents-site
Version: 1.0
"""
AUTH = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/basic_auth.db
admin_username = alice
admin_password = a-password-of-alice
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with two processes, and a second user."""
    entry = "[mlflow.app]\nagents = agents_site:create_app\n"
    files = {
        "agents_site.py": recipe("mlflow"),
        "auth.ini": AUTH,
        "agents_site-1.0.dist-info/METADATA": METADATA,
        "agents_site-1.0.dist-info/entry_points.txt": entry,
    }
    folder = environment("mlflow", REQUIREMENTS)
    command = [str(folder / "bin" / "mlflow"), "server", "--app-name", "agents", "--workers", "2"]
    store = "sqlite:///{folder}/mlflow.db"
    with application(
        folder,
        files,
        [*command, "--host", "127.0.0.1", "--port", "{port}", "--backend-store-uri", store],
        env={
            "MLFLOW_AUTH_CONFIG_PATH": "{folder}/auth.ini",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for the tests alone",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        prepare=[
            [str(folder / "bin" / "mlflow"), "db", "upgrade", store],
        ],
    ) as running:
        alice = running.browser()
        TestMlflow().log_in(alice, "alice")
        created = alice.post(
            "/api/2.0/mlflow/users/create",
            json={"username": "bob", "password": "a-password-of-bob"},
        )
        assert created.status_code == 200, created.text
        yield running


class TestMlflow(WorkerRules):
    """Its databases are SQLite's, by SQLAlchemy without an extension."""

    database = "basic_auth.db"

    def log_in(self, browser: Browser, name: str) -> None:
        """Send the password with each request, as browsers do."""
        word = base64.b64encode(f"{name}:a-password-of-{name}".encode()).decode()
        browser.session.headers["Authorization"] = f"Basic {word}"

    def is_page(self, browser: Browser) -> bool:
        """List the experiments, which lie in its database."""
        answer = browser.post("/api/2.0/mlflow/experiments/search", json={"max_results": 5})
        return answer.status_code == 200 and "experiments" in answer.json()

    def refused_forgery(self, browser: Browser) -> bool:
        """Create a user by its form without the token."""
        page = browser.get("/signup").text
        assert re.search("csrf_token", page)
        answer = browser.post(
            "/api/2.0/mlflow/users/create-ui", data={"username": "m", "password": "a-password-of-m"}
        )
        return answer.status_code == 400
