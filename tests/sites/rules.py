"""What holds in every application that mounts the host: one test a rule.

An application's test class inherits from `SiteRules` and says how its users log in.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

import requests

from tests.sites.site import Browser, Site, new_session
from tests.support.sse import Stream
from tests.support.waiting import wait_for

#: A page of a site in use may take long; one that waits for streams to end takes longer.
PAGE_SECONDS = 3.0
LONG = "count=2000 pause=0.05"


class SiteRules:
    """The rules; ``site`` is a fixture of the application's module."""

    #: How many streams are open while the site's pages are asked for.
    streams: ClassVar[int] = 16
    #: The name of the database's file, where it is one.
    database: ClassVar[str | None] = None

    def user(self, site: Site, name: str) -> Browser:
        """Return a user's browser, logged in once for all tests of the site."""
        if name not in site.users:
            browser = site.browser()
            self.log_in(browser, name)
            site.users[name] = browser
        return site.users[name]

    def log_in(self, browser: Browser, name: str) -> None:
        """Log ``alice`` or ``bob`` in by the site's own means."""
        raise NotImplementedError

    def is_page(self, browser: Browser) -> bool:
        """Whether a page that needs the login, and the database, comes as it should."""
        raise NotImplementedError

    def refused_forgery(self, browser: Browser) -> bool:
        """Whether the site refuses a form without its token."""
        raise NotImplementedError

    def test_pages_work_beside_streams(self, site: Site) -> None:
        """The site's pages come in their usual time while as many streams are open as may be."""
        alice = self.user(site, "alice")
        assert self.is_page(alice)
        with self.open_streams(alice) as streams:
            for _ in range(6):
                started_at = time.monotonic()
                assert self.is_page(alice)
                assert time.monotonic() - started_at < PAGE_SECONDS
            assert all(stream.ended is None for stream in streams)

    def test_database_is_not_held_by_streams(self, site: Site) -> None:
        """Open streams hold no connection to the database; some applications have none."""
        if self.database is None and site.postgres is None:
            return
        alice = self.user(site, "alice")
        assert self.is_page(alice)
        before = self.connections(site)
        with self.open_streams(alice) as streams:
            held = self.connections(site) - before
            assert held < len(streams) / 2, f"{len(streams)} streams hold {held} connections"

    def connections(self, site: Site) -> int:
        """How many connections to its database the application has open."""
        if site.postgres is not None:
            return site.postgres.connections()
        return site.open_files(self.database or "")

    def test_login_decides_the_tenant(self, site: Site) -> None:
        """A stranger is refused in JSON, and a user's sessions are that user's own."""
        session = new_session()
        stranger = site.browser().call("POST", f"/chat/{session}", {"message": "count=1"})
        assert (stranger.status_code, stranger.json()["code"]) == (401, "unauthorized")
        alice, bob = self.user(site, "alice"), self.user(site, "bob")
        with alice.chat(session, "count=1") as stream:
            assert stream.until("done")
        assert alice.call("GET", f"/session/{session}").status_code == 200
        assert bob.call("GET", f"/session/{session}").status_code == 404

    def test_guards_and_error_pages_stay(self, site: Site) -> None:
        """The site's protection of forms goes on refusing, and its 404 stays a page of its own."""
        alice = self.user(site, "alice")
        assert self.refused_forgery(alice)
        missing = alice.get("/no-such-page-of-the-site")
        assert "json" not in missing.headers["Content-Type"]
        below = alice.call("GET", "/no/such/route")
        assert (below.status_code, below.json()["code"]) == (404, "not_found")

    def test_tokens_come_one_by_one(self, site: Site) -> None:
        """Each token is there before the next is made."""
        alice = self.user(site, "alice")
        with alice.chat(new_session(), "count=20 pause=0.05") as stream:
            frames = stream.until("done")
        tokens = [frame for frame in frames if frame.data["type"] == "token"]
        assert len(tokens) == 20
        assert tokens[-1].at - tokens[0].at > 0.6

    def test_stop_works_from_any_worker(self, site: Site) -> None:
        """Stops on connections of their own, so on any worker, end their turns within a second."""
        alice = self.user(site, "alice")
        for _ in range(6):
            session = new_session()
            with alice.chat(session, LONG) as stream:
                stream.until("token")
                alice.session.close()  # the next request opens a connection
                stopped = alice.call("POST", f"/chat/{session}/cancel", {})
                answered_at = time.monotonic()
                assert stopped.json()["cancelled"], stopped.text
                assert stream.until("cancelled")[-1].at - answered_at < 1

    def test_reading_goes_on_after_a_cut(self, site: Site) -> None:
        """A reader that lost its connection gets the rest, without a hole or a double."""
        alice = self.user(site, "alice")
        session = new_session()
        with alice.chat(session, "count=40 pause=0.03") as stream:
            first = [stream.next() for _ in range(6)]
        last = first[-1]
        assert last is not None
        with alice.stream("GET", f"/chat/{session}/events", Last_Event_ID=last.id or "") as stream:
            rest = stream.until("done")
        texts = [f.data["content"] for f in [*first, *rest] if f and f.data["type"] == "token"]
        assert "".join(texts) == "".join(f"w{number} " for number in range(1, 41))

    @contextmanager
    def open_streams(self, browser: Browser) -> Iterator[list[Stream]]:
        """Open as many streams as the site has room for, each with its first token."""
        with ExitStack() as stack:
            streams: list[Stream] = []
            for _ in range(self.streams):
                session = new_session()
                stack.callback(browser.call, "POST", f"/chat/{session}/cancel", {})
                stream = stack.enter_context(browser.chat(session, LONG))
                assert stream.status == 200, stream.body()
                stream.until("token")
                streams.append(stream)
            yield streams


class WorkerRules(SiteRules):
    """What holds beside that where the server starts a worker again that is killed."""

    #: Whether its users stay logged in when a worker has been killed.
    keeps_logins: ClassVar[bool] = True

    def test_worker_is_killed(self, site: Site) -> None:
        """A turn whose worker is killed comes to an end for its reader, and the next one works."""
        alice = self.user(site, "alice")
        session = new_session()
        with alice.chat(session, LONG) as stream:
            seen = stream.until("token")
            os.kill(pid_of(seen[0].data["content"]), signal.SIGKILL)
        if not self.keeps_logins:
            wait_for(lambda: self.can_log_in(site), "a login", 60)
            alice = self.user(site, "alice")
        end = wait_for(lambda: self.end_after(alice, session, seen[-1].id or ""), "the end", 30)
        assert end == "worker_lost"
        with alice.chat(session, "count=1") as stream:
            assert stream.until("done")

    def can_log_in(self, site: Site) -> bool:
        """Log in again; False while the site cannot do it."""
        site.users.clear()
        try:
            return self.user(site, "alice") is not None
        except (AssertionError, requests.RequestException):
            return False

    def end_after(self, browser: Browser, session: str, cursor: str) -> str | None:
        """The code of the error that ended a turn; None while nobody answers."""
        try:
            with browser.stream("GET", f"/chat/{session}/events", Last_Event_ID=cursor) as stream:
                return str(stream.until("error")[-1].data["code"])
        except (OSError, AssertionError, EOFError):
            return None


def pid_of(status: str) -> int:
    """The process that runs a turn, as its agent reported it."""
    return int(status.partition("pid=")[2].partition(" ")[0])
