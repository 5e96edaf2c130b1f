"""GET /metrics: what it tells is what its clients did, by whichever worker, dead or alive."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.host.load import THREADS, WORKERS, Load
from tests.support.client import Client, new_session
from tests.support.metrics import Samples, scrape, told
from tests.support.processes import temporary_folder
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Gunicorn, Server, flask_dev_server, gunicorn, redis_server
from tests.support.service import CONFIG, OPERATOR, owner_pid
from tests.support.sse import open_stream
from tests.support.waiting import wait_for
from wsgi_app.metrics.files import VARIABLE, SharedFolder

APP = "tests.support.apps:scripted_app()"

#: This machine itself reads without a token.
OPEN = {"AGENT_METRICS_LOCAL": "1"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the hooks make their folder; nothing is left there when the server has ended."""
    with temporary_folder() as parent:
        yield parent
        assert list(parent.iterdir()) == []


@pytest.fixture
def server(folder: Path) -> Iterator[Gunicorn]:
    """Two workers that share a Redis, with the project's own gunicorn.conf.py."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            **OPEN,
            "AGENT_TOKENS": OPERATOR,
            "AGENT_ORPHAN_SECONDS": "0",
            "AGENT_MAX_TURNS_PER_TENANT": "1000",
        }
        args = ["--worker-tmp-dir", str(folder)]
        with gunicorn(
            APP, workers=WORKERS, threads=THREADS, config=CONFIG, env=env, args=args
        ) as running:
            wait_for(lambda: len(running.worker_pids()) == WORKERS, "both workers", 30)
            yield running


@pytest.fixture(scope="module")
def single() -> Iterator[Gunicorn]:
    """One worker without Redis and hooks."""
    env = {**OPEN, "AGENT_TOKENS": "dev=demo-tenant,boss=boss-tenant scopes=admin,low=low-tenant"}
    with gunicorn(APP, env=env) as running:
        yield running


@pytest.mark.slow
def test_metrics_equal_what_the_load_did(server: Gunicorn, folder: Path) -> None:
    """All counters are the client's own counts: over two workers, and after one was killed."""
    load = Load(ReadingClient(server))
    load.run()
    expected = load.expected() | {"worker_starts_total": WORKERS}
    assert told(server, expected) == expected
    lost = {'turns_total{outcome="error",reason="worker_lost"}': 0.0}
    victims: list[int] = []
    for round_ in range(1, 3):
        session = new_session()
        with load.client.chat(session, {"text": "a"}, {"hold": True}) as stream:
            stream.until("token")
            running = {"turns_running": 1.0, "streams": 1.0}
            assert told(server, running) == running
            victim = owner_pid(load.client, session)
            os.kill(victim, signal.SIGKILL)
        wait_for(lambda: _replaced(server, victim), "another worker in its place", 40)  # noqa: B023 - called at once
        load.run()
        lost[next(iter(lost))] = round_
        expected = load.expected() | lost | {"worker_starts_total": WORKERS + round_}
        assert told(server, expected) == expected
        victims.append(victim)
        # A merge that would disturb a reader is left to the next death.
        files = [path.name for path in folder.glob("*/*.db")]
        of_dead = [name for name in files if any(str(pid) in name for pid in victims[:-1])]
        assert not of_dead, "the files of the dead do not pile up"


def _replaced(server: Gunicorn, victim: int) -> bool:
    pids = server.worker_pids()
    return victim not in pids and scrape(server).get("workers") == WORKERS == len(pids)


def test_waiting_turns_are_told_apart(single: Gunicorn) -> None:
    """Waiting turns are told apart from running ones; one that never ran has no running time."""
    client = ReadingClient(single)
    session, before = new_session(), scrape(single)
    with ExitStack() as streams:
        streams.enter_context(client.chat(session, {"hold": True})).wait_comments(1)
        queued = client.chat(session, if_busy="enqueue")
        streams.enter_context(queued).wait_comments(1)
        expected: Samples = {"turns_running": 1, "turns_waiting": 1, "streams": 2}
        assert told(single, expected) == expected
        client.cancel(session)
    expected = {
        "turns_running": 0,
        "turns_waiting": 0,
        'turns_total{outcome="cancelled",reason="user"}': 2,
        "turn_seconds_count": before["turn_seconds_count"] + 1,
        "cancel_seconds_count": 1,
    }
    assert told(single, expected) == expected


def test_who_may_read(single: Gunicorn) -> None:
    """With the opt-in this machine itself reads without a token, else the scope admin alone."""
    nobody, boss = (Client(single, token) for token in (None, "boss"))
    assert nobody.call("GET", "/metrics").status == 200
    foreign = nobody.call("GET", "/metrics", headers={"Host": "rebound.example"})
    check_refusal(foreign, 401, "unauthorized")
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    check_refusal(nobody.call("GET", "/metrics", headers=forwarded), 401, "unauthorized")
    low = Client(single, "low").call("GET", "/metrics", headers=forwarded)
    check_refusal(low, 403, "forbidden")
    answer = boss.call("GET", "/metrics", headers=forwarded)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert answer.headers["Cache-Control"] == "no-store"


def test_needs_the_scope_admin_by_default() -> None:
    """Without the opt-in this machine's address opens nothing: a proxy may run there, too."""
    with gunicorn(APP, env={"AGENT_TOKENS": "low=low-tenant,boss=b scopes=admin"}) as server:
        for token, status in ((None, 401), ("low", 403), ("boss", 200)):
            assert Client(server, token).call("GET", "/metrics").status == status
    with gunicorn(APP) as server:
        assert Client(server).call("GET", "/metrics").status == 403


def test_names_no_tenant_session_or_secret(single: Gunicorn) -> None:
    """Labels have few values: none is of a request's making."""
    client = ReadingClient(single)
    client.chat_json("my-session", {"tool": {"name": "my-tool", "output": "my-output"}})
    client.call("GET", "/my-path")
    text = client.call("GET", "/metrics").body.decode()
    assert not [word for word in ("demo-tenant", "my-", "dev") if word in text], text
    labels = {
        name
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for name in sample.labels
    }
    assert labels <= {"host", "outcome", "reason", "kind", "type", "status", "cause", "code", "le"}


@pytest.mark.slow
def test_store_outage_is_counted(folder: Path) -> None:
    """While Redis is away the lag grows and errors count; when it is back the lag is gone."""
    with redis_server() as store:
        env = {**OPEN, "AGENT_REDIS_URL": store.url}
        args = ["--worker-tmp-dir", str(folder)]
        with gunicorn(APP, workers=1, threads=8, config=CONFIG, env=env, args=args) as server:
            client = ReadingClient(server)
            with client.chat("s", {"text": "a"}, {"wait": 3}, {"text": "b"}) as stream:
                stream.until("token")
                store.signal(signal.SIGSTOP)
                try:
                    stream.until("token")
                    wait_for(lambda: scrape(server)["journal_lag_seconds"] > 1, "it lags", 20)
                finally:
                    store.signal(signal.SIGCONT)
                stream.until("done")
            wait_for(lambda: scrape(server)["journal_lag_seconds"] == 0, "nothing waits")
            found = scrape(server)
            assert found["journal_errors_total"] > 0
            assert found["store_errors_total"] > 0
            assert found["store_seconds_count"] > 0


def count_turns(server: Server, path: str = "/agents/metrics") -> float:
    """How many turns are done by what a page tells."""
    return scrape(server, path).get('turns_total{outcome="done",reason=""}', 0)


def test_single_process_needs_no_hooks() -> None:
    """Without gunicorn the one process counts for itself."""
    with flask_dev_server(APP, env=OPEN) as server:
        client = ReadingClient(server)
        for _ in range(3):
            assert client.chat_json(new_session()).status == 200
        expected: Samples = {'turns_total{outcome="done",reason=""}': 3, "worker_starts_total": 1}
        assert told(server, expected) == expected


@pytest.mark.slow
def test_site_keeps_its_own_metrics() -> None:
    """A site that shares its counts in a folder of its own sees ours there; ours hides its own."""
    with temporary_folder() as own, redis_server() as store:
        env = {**OPEN, "PROMETHEUS_MULTIPROC_DIR": str(own), "AGENT_REDIS_URL": store.url}
        site = "tests.support.metrics:counting_site()"
        with gunicorn(site, workers=2, threads=8, config=CONFIG, env=env) as server:
            client = ReadingClient(server)
            for _ in range(6):
                assert client.chat_json(new_session()).status == 200
            wait_for(lambda: count_turns(server) == 6, "all are told")
            assert count_turns(server, "/site-metrics") == 6
            ours = client.call("GET", "/metrics").body.decode()
            theirs = Client(server, prefix="").call("GET", "/site-metrics").body.decode()
            assert "site_requests_total" in theirs
            assert "site_requests_total" not in ours
        assert own.is_dir(), "the folder is the site's"


@pytest.mark.slow
def test_hosts_of_a_preloaded_app_have_their_pages(folder: Path) -> None:
    """An app loaded before the fork shares its counts too, and each of its hosts has its own."""
    args = ["--preload", "--worker-tmp-dir", str(folder)]
    with redis_server() as store:
        env = {**OPEN, "AGENT_REDIS_URL": store.url}
        site = "tests.support.apps:two_hosts()"
        with gunicorn(site, workers=2, threads=8, config=CONFIG, env=env, args=args) as server:
            turns = {"/one": 4, "/two": 3}
            for prefix, number in turns.items():
                client = ReadingClient(server, prefix=prefix)
                for _ in range(number):
                    assert client.chat_json(new_session()).status == 200
            for prefix, number in turns.items():
                page = f"{prefix}/metrics"
                wait_for(lambda: count_turns(server, page) == number, f"all are told by {page}")  # noqa: B023 - called at once
            workers = "/one/metrics"  # the second one may still be starting
            wait_for(lambda: scrape(server, workers)["workers"] == 2, "both workers count")


@pytest.mark.slow
def test_pages_are_whole_while_workers_die(server: Gunicorn) -> None:
    """However many workers are replaced, no page misses or doubles what the dead have counted."""
    client = ReadingClient(server)
    for _ in range(20):
        assert client.chat_json(new_session()).status == 200
    wait_for(lambda: count_turns(server) == 20, "all are told")
    stop, pages = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                pages.append(count_turns(server))
            except OSError:
                continue  # its worker was killed

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for _ in range(4):
                victim = server.worker_pids()[0]
                os.kill(victim, signal.SIGKILL)
                wait_for(lambda: _replaced(server, victim), "another in its place", 40)  # noqa: B023 - called at once
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert set(pages) == {20.0}


@pytest.mark.slow
def test_write_timeout_is_no_hang_up() -> None:
    """A reader that is cut off because it takes nothing is told apart."""
    env = {**OPEN, "AGENT_WRITE_TIMEOUT_SECONDS": "1", "AGENT_MAX_OUTPUT_BYTES": "16000000"}
    with gunicorn(APP, env=env) as server:
        headers = {"Authorization": "Bearer dev"}
        # Far more than the kernel takes for a connection.
        body = {"message": "m", "metadata": {"steps": [{"blobs": 200}]}}
        url = f"{server.url}/agents/chat/slow"
        stalled = open_stream("POST", url, json=body, headers=headers, receive_buffer_bytes=4096)
        with stalled:
            expected: Samples = {'disconnects_total{cause="write_timeout"}': 1}
            assert told(server, expected, 20) == expected
        assert 'disconnects_total{cause="hang_up"}' not in scrape(server)


def test_counts_belong_to_the_workers_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With gunicorn's ``user`` the arbiter gives the folder to whom its workers run as."""
    monkeypatch.setenv(VARIABLE, "")  # what is set is taken back
    # Only root may give files away.
    other = 65_534 if os.geteuid() == 0 else os.geteuid()
    folder = SharedFolder()
    folder.make(str(tmp_path), other, os.getegid())
    (made,) = tmp_path.iterdir()
    assert {path.stat().st_uid for path in (made, *made.iterdir())} == {other}
