"""The operator's routes: all tenants' turns on all workers, for the scope admin alone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.support.client import Client, new_session
from tests.support.servers import Gunicorn, Redis, gunicorn, redis_server
from tests.support.service import CONFIG, NAMESPACE
from tests.support.sse import Stream
from tests.support.waiting import wait_for
from wsgi_app.engine.worker.live import MAX_REPORTED_TURNS, MINUTES, LiveTurns
from wsgi_app.store.base import MinuteInfo, WorkerInfo

APP = "tests.support.admin_app:admin_app()"
WORKERS = 2
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Site(NamedTuple):
    """Two workers and their Redis."""

    server: Gunicorn
    store: Redis

    def client(self, tenant: str) -> Client:
        """A client of this tenant."""
        return Client(self.server, token=tenant)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A host whose operator's page is on."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url}
        with gunicorn(APP, workers=WORKERS, threads=16, env=env) as server:
            yield Site(server, store)


def start_turn(site: Site, tenant: str, session: str, message: str = "go") -> Stream:
    """Begin a turn that goes on until it is cancelled."""
    return site.client(tenant).stream("POST", f"/chat/{session}", {"message": message})


def watch_until(site: Site, seen: Any) -> dict[str, Any]:
    """The first snapshot of which ``seen`` is true."""
    deadline = time.monotonic() + 60
    with site.client("operator").stream("GET", "/admin/events", seconds=30) as stream:
        for frame in stream:
            snapshot: dict[str, Any] = frame.data
            if seen(snapshot):
                return snapshot
            assert time.monotonic() < deadline, snapshot
    raise AssertionError("the stream has ended")


def live(snapshot: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The turns of a snapshot, by tenant and session."""
    turns = [turn for worker in snapshot["workers"] for turn in worker["info"]["live"]]
    return {(turn["tenant"], turn["session_id"]): turn for turn in turns}


def test_operators_see_all_turns_and_end_them(site: Site) -> None:
    """Turns of several tenants on two workers are told with their tokens; a cancel ends one."""
    sessions = [(f"tenant-{number}", new_session()) for number in range(6)]
    streams = [start_turn(site, tenant, session) for tenant, session in sessions]
    asking = ("asker", new_session())
    streams.append(start_turn(site, *asking, message="ask"))
    try:
        expected = {*sessions, asking}

        def is_told(snapshot: dict[str, Any]) -> bool:
            told = live(snapshot)
            talk = [told[key]["tokens"] for key in sessions if key in told]
            return set(told) == expected and min(talk) > 0 and told[asking]["state"] == "asking"

        snapshot = watch_until(site, is_told)
        infos = [worker["info"] for worker in snapshot["workers"]]
        assert sum(info["turns"] for info in infos) == len(expected)
        assert sum(info["slots_used"] for info in infos) == len(expected) + 1  # and the operator
        assert {info["pid"] for info in infos} <= set(site.server.worker_pids())
        begun = sum(begun for info in infos for _, _, begun in info["hour"])
        assert begun >= len(expected)
        tenant, session = sessions[0]
        body = {"tenant": tenant, "session_id": session, "turn_id": "1"}
        answer = site.client("operator").call("POST", "/admin/cancel", body)
        assert answer.json == {"ok": True, "cancelled": True, "turn_id": "1"}
        assert list(streams[0])[-1].data == {"type": "cancelled", "reason": "user"}
        watch_until(site, lambda one: set(live(one)) == expected - {(tenant, session)})
        line = f"admin 'operator' cancelled the turns [1] of session {session} of tenant"
        wait_for(lambda: line in site.server.log(), "the cancel in the log")
    finally:
        for stream in streams:
            stream.close()


def test_nothing_is_reported_while_nobody_observes(site: Site) -> None:
    """Workers stop telling of their turns when the last operator has left."""
    with start_turn(site, "tenant", new_session()), site.store.client() as store:
        watch_until(site, live)

        def told() -> list[Any]:
            infos = store.hgetall(f"agent@{NAMESPACE}:{{workers}}:alive:info")
            return [turn for info in infos.values() for turn in json.loads(info)["live"]]

        assert told()
        # Instead of a wait of ten seconds.
        store.delete(f"agent@{NAMESPACE}:{{workers}}:alive:watched")
        wait_for(lambda: not told(), "heartbeats without turns", 30)


def test_scope_is_needed(site: Site) -> None:
    """Without the scope admin both routes are refused, and nothing is ended."""
    session = new_session()
    with start_turn(site, "tenant", session):
        body = {"tenant": "tenant", "session_id": session}
        for token, status in ((None, 401), ("tenant", 403)):
            client = Client(site.server, token=token)
            assert client.call("GET", "/admin/events").status == status
            assert client.call("POST", "/admin/cancel", body).status == status
        assert site.client("tenant").call("GET", f"/session/{session}").json["state"] == "running"


def test_cookie_of_an_operator_is_no_use_to_other_sites(site: Site) -> None:
    """A cancel with the login's cookie is refused from another origin, and as a form."""
    body = {"tenant": "tenant", "session_id": "s"}
    client = Client(site.server, token=None)
    cookie = {"Cookie": "login=operator"}
    assert client.call("POST", "/admin/cancel", body, headers=cookie).status == 200
    elsewhere = {**cookie, "Origin": "https://evil.example"}
    assert client.call("POST", "/admin/cancel", body, headers=elsewhere).status == 403
    form = {**cookie, **FORM}
    answer = client.call("POST", "/admin/cancel", body=b"tenant=t&session_id=s", headers=form)
    assert answer.status == 415


@pytest.mark.parametrize(
    "body",
    [{}, {"tenant": "t"}, {"tenant": "", "session_id": "s"}, {"tenant": "t", "session_id": ".."}],
)
def test_bad_cancels_are_refused(site: Site, body: dict[str, str]) -> None:
    """A cancel names a tenant and a session."""
    assert site.client("operator").call("POST", "/admin/cancel", body).status == 422


def test_tenants_write_no_log_lines(site: Site) -> None:
    """A tenant's name with line ends stays within its line of the log."""
    body = {"tenant": "t\nadmin 'x' forged", "session_id": "s"}
    assert site.client("operator").call("POST", "/admin/cancel", body).json["cancelled"] is False
    wait_for(lambda: "forged" in site.server.log(), "the cancel in the log")
    assert "\nadmin 'x' forged" not in site.server.log()


def test_off_by_default() -> None:
    """Without AGENT_ADMIN the routes are not there, whoever asks."""
    env = {"AGENT_TOKENS": "dev=operator scopes=admin"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        client = Client(server)
        for path in ("/admin", "/admin.js", "/admin.css", "/admin/events"):
            assert client.call("GET", path).status == 404
        assert client.call("POST", "/admin/cancel", {}).status == 404
        assert "/admin" not in client.call("GET", "/openapi.json").json["paths"]


class _Run:
    """What is told of a turn's run."""

    def __init__(self, number: int) -> None:
        self.begun_at = float(number)
        self.ended = False


def test_what_is_reported_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many turns the oldest are told, and the number of the others; of minutes an hour."""
    monkeypatch.setattr("wsgi_app.engine.worker.live._describe", lambda run, _: run.begun_at)
    monkeypatch.setattr(LiveTurns, "_count", lambda *_: (0, 0))
    turns = LiveTurns()
    runs: Any = [_Run(number) for number in range(MAX_REPORTED_TURNS + 5, 0, -1)]
    assert turns.add_to(WorkerInfo(), lambda: runs) == WorkerInfo()
    turns.observed = True
    info = turns.add_to(WorkerInfo(), lambda: runs)
    assert repr(info.live) == repr(tuple(map(float, range(1, MAX_REPORTED_TURNS + 1))))
    assert info.left_out == 5
    for minute in range(MINUTES + 9):
        clock = SimpleNamespace(time=lambda now=minute * 60.0: now)
        monkeypatch.setattr("wsgi_app.engine.worker.live.time", clock)
        turns.note(begun=1)
        turns.add_to(WorkerInfo(turns=minute), list)
        info = turns.add_to(WorkerInfo(turns=0), list)
    assert info.hour == tuple(MinuteInfo(m, m, 1) for m in range(9, MINUTES + 9))


@pytest.mark.slow
def test_stream_reports_an_outage_and_ends_with_its_worker() -> None:
    """Without the store the stream goes on and says so; HEAD opens none; a drain ends it."""
    with (
        redis_server() as store,
        gunicorn(
            APP, config=CONFIG, env={"AGENT_REDIS_URL": store.url, "AGENT_DRAIN_SECONDS": "2"}
        ) as server,
    ):
        client = Client(server, token="operator")
        head = client.call("HEAD", "/admin/events")
        assert (head.status, head.body) == (200, b"")
        with client.stream("GET", "/admin/events", seconds=60) as stream:
            assert "error" not in next(iter(stream)).data
            store.kill()
            error = next(frame.data for frame in stream if "error" in frame.data)
            assert (error["error"], error["workers"]) == ("store_unavailable", [])
            server.signal(signal.SIGTERM)
            assert [frame for frame in stream if "error" not in frame.data] == []
            assert stream.ended == "clean"
