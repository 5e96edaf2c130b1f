"""OctoPrint: a plugin, its own Tornado with a pool of threads, its own users."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sites.environments import environment
from tests.sites.rules import LONG, PAGE_SECONDS, SiteRules
from tests.sites.site import Browser, Site, application, new_session, recipe

pytestmark = [pytest.mark.sites, pytest.mark.timeout(900)]

REQUIREMENTS = """\
OctoPrint==1.11.8
"""
CONFIG = """\
server:
  firstRun: false
  onlineCheck:
    enabled: false
  pluginBlacklist:
    enabled: false
plugins:
  tracking:
    enabled: false
  softwareupdate:
    enabled: false
"""
#: Of the pool, whose threads are four more than the cores.
READERS = 3
PASSWORD = "a-password-of-tests"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the site with two users."""
    folder = environment("octoprint", REQUIREMENTS)
    octoprint = [str(folder / "bin" / "octoprint"), "--basedir", "{folder}/base"]
    people = [
        [*octoprint, "user", "add", who, "--password", PASSWORD, "--admin"]
        for who in ("alice", "bob")
    ]
    serve = [*octoprint, "serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", "{port}"]
    with application(
        folder,
        {"base/config.yaml": CONFIG, "base/plugins/agents.py": recipe("octoprint")},
        serve,
        prefix="/plugin/agents",
        env={"AGENT_MAX_SLOTS_PER_TENANT": "8"},
        prepare=people,
    ) as running:
        yield running


class TestOctoPrint(SiteRules):
    """It has one process, no database, and a server that sends each answer as a whole.

    So an answer of the host ends after a second, and its client comes back for the rest.
    """

    def log_in(self, browser: Browser, name: str) -> None:
        """Log in as its own page does, with the token that the page came with."""
        browser.get("/login/")
        tokens = [one.value for one in browser.session.cookies if one.name.startswith("csrf_token")]
        browser.session.headers["X-CSRF-Token"] = str(tokens[0])
        answer = browser.post("/api/login", json={"user": name, "pass": PASSWORD})
        assert answer.status_code == 200, answer.text

    def is_page(self, browser: Browser) -> bool:
        """Read the settings, which are for users who have logged in."""
        return browser.get("/api/settings").status_code == 200

    def refused_forgery(self, browser: Browser) -> bool:
        """Change the settings without the token."""
        answer = browser.post("/api/settings", json={}, headers={"X-CSRF-Token": None})
        return answer.status_code == 400

    def test_pages_work_beside_streams(self, site: Site) -> None:
        """Its pages come in their usual time while clients read turns in bursts."""
        alice = self.user(site, "alice")
        assert self.is_page(alice)
        with ThreadPoolExecutor(READERS) as pool:
            reading = [pool.submit(read_turn, alice, "count=40 pause=0.2") for _ in range(READERS)]
            for _ in range(6):
                started_at = time.monotonic()
                assert self.is_page(alice)
                assert time.monotonic() - started_at < PAGE_SECONDS
            assert not all(one.done() for one in reading)
            assert all(one.result()[0] == said(40) for one in reading)

    def test_tokens_come_one_by_one(self, site: Site) -> None:
        """An answer comes in bursts, each token once."""
        text, bursts = read_turn(self.user(site, "alice"), "count=40 pause=0.1")
        assert text == said(40)
        assert bursts > 2

    def test_stop_works_from_any_worker(self, site: Site) -> None:
        """A stop ends a turn that is read in bursts."""
        alice = self.user(site, "alice")
        session = new_session()
        with alice.chat(session, LONG) as stream:
            stream.body()
        assert alice.call("POST", f"/chat/{session}/cancel", {}).json()["cancelled"]
        with alice.stream("GET", f"/chat/{session}/events", Last_Event_ID="1-1") as stream:
            assert stream.until("cancelled")

    def test_reading_goes_on_after_a_cut(self, site: Site) -> None:
        """Every burst is such a cut: see above."""
        assert read_turn(self.user(site, "alice"), "count=20 pause=0.1")[0] == said(20)


def read_turn(browser: Browser, message: str) -> tuple[str, int]:
    """A turn's text, and in how many answers it came."""
    session, text, bursts, cursor = new_session(), "", 0, ""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        bursts += 1
        if cursor:
            answer = browser.stream("GET", f"/chat/{session}/events", Last_Event_ID=cursor)
        else:
            answer = browser.chat(session, message)
        with answer as stream:
            for frame in stream:
                cursor = frame.id or cursor
                text += frame.data.get("content", "") if frame.data["type"] == "token" else ""
                if frame.data["type"] == "done":
                    return text, bursts
    raise AssertionError(f"no end after {bursts} answers: {text}")


def said(count: int) -> str:
    """What the agent says when it counts so far."""
    return "".join(f"w{number} " for number in range(1, count + 1))
