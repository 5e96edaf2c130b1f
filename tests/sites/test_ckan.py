"""CKAN: a plugin, uWSGI with threads, Flask-Login as login, PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.sites.environments import environment
from tests.sites.rules import WorkerRules
from tests.sites.site import Browser, Site, application, recipe
from tests.support.postgres import postgres
from tests.support.processes import install_program

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

REQUIREMENTS = """\
ckan[requirements]==2.11.6
setuptools<81
pyuwsgi==2.0.30
"""
#: Its search server is missing: pages that do not search go without.
INI = """\
[app:main]
use = egg:ckan
SECRET_KEY = for the tests alone, and long enough for them
sqlalchemy.url = postgresql://{database}
ckan.redis.url = redis://127.0.0.1:{redis_port}/1
solr_url = http://127.0.0.1:9/solr/ckan
ckan.site_url = http://127.0.0.1:{port}
ckan.storage_path = {folder}/storage
ckan.plugins = agents

[loggers]
keys = root

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = WARNING
handlers = console

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic

[formatter_generic]
format = %(asctime)s %(levelname)s %(name)s %(message)s
"""
WSGI = """\
from ckan.cli import CKANConfigLoader
from ckan.config.middleware import make_app

application = make_app(CKANConfigLoader("{folder}/ckan.ini").get_config())
"""
METADATA = """\
Metadata-Version: 2.1
Name: agents-plugin
Version: 1.0
"""
ENTRY_POINT = "[ckan.plugins]\nagents = agents_plugin:AgentsPlugin\n"
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with two workers and two users."""
    install_program("pg_config", "libpq-dev")  # what its psycopg2 is built with
    folder = environment("ckan", REQUIREMENTS)
    ckan = [str(folder / "bin" / "ckan"), "-c", "{folder}/ckan.ini"]
    people = [
        [*ckan, "user", "add", who, f"email={who}@example.org", f"password={PASSWORD}"]
        for who in ("alice", "bob")
    ]
    with postgres() as server:
        files = {
            "ckan.ini": INI.replace("{database}", server.address),
            "wsgi.py": WSGI,
            "agents_plugin.py": recipe("ckan"),
            "agents_plugin-1.0.dist-info/METADATA": METADATA,
            "agents_plugin-1.0.dist-info/entry_points.txt": ENTRY_POINT,
        }
        command = [
            str(folder / "bin" / "uwsgi"),
            "--http-socket=127.0.0.1:{port}",
            "--add-header=Connection: close",  # it keeps none, and does not say so by itself
            "--module=wsgi:application",
            "--master",
            "--lazy-apps",
            "--single-interpreter",
            "--need-app",
            "--processes=2",
            "--threads=24",
            "--buffer-size=32768",
            "--die-on-term",
        ]
        with application(
            folder, files, command, prepare=[[*ckan, "db", "init"], *people]
        ) as running:
            running.postgres = server
            yield running


class TestCkan(WorkerRules):
    """Its database is PostgreSQL's, by SQLAlchemy without an extension."""

    def log_in(self, browser: Browser, name: str) -> None:
        """Fill in the form of the login page."""
        token = token_of(browser.get("/user/login").text)
        form = {"_csrf_token": token, "login": name, "password": PASSWORD}
        browser.post("/user/login", data=form, allow_redirects=False)
        assert self.is_page(browser)

    def is_page(self, browser: Browser) -> bool:
        """Open the user's own settings."""
        answer = browser.get("/user/edit")
        return answer.status_code == 200 and "@example.org" in answer.text

    def refused_forgery(self, browser: Browser) -> bool:
        """Save the settings without the token."""
        answer = browser.post("/user/edit/alice", data={"fullname": "forged", "save": ""})
        return answer.status_code == 400 and "CSRF" in answer.text


def token_of(page: str) -> str:
    """The token of a page's form."""
    found = re.search(r'name="_csrf_token"[^>]*(?:content|value)="([^"]+)"', page)
    assert found is not None, page[:3000]
    return found[1]
