"""How a worker leaves: no reader without an end that it understands."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.processes import ROOT
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, gunicorn
from tests.support.waiting import wait_for

CONFIG = ROOT / "gunicorn.conf.py"


@contextmanager
def draining_host(drain_seconds: float, *args: str) -> Iterator[ReadingClient]:
    """A host with the project's own configuration of gunicorn."""
    env = {"AGENT_DRAIN_SECONDS": str(drain_seconds)}
    with gunicorn(
        "tests.support.apps:scripted_app()", workers=None, config=CONFIG, env=env, args=args
    ) as server:
        yield ReadingClient(server)


def worker_of(client: ReadingClient) -> int:
    """The one worker's process id."""
    assert isinstance(client.server, Gunicorn)
    (pid,) = client.server.worker_pids()
    return pid


def test_running_turn_finishes_before_the_worker_leaves() -> None:
    """After SIGTERM a turn that ends in time is read to its own end."""
    with draining_host(10) as client:
        with client.chat("finishes", {"tokens": 20, "pause": 0.1}) as stream:
            stream.until("token")
            client.server.signal(signal.SIGTERM)
            assert stream.until("done")[-1].data["reply"].endswith("w20 ")
            assert stream.next() is None
            assert stream.ended == "clean"
        wait_for(lambda: not client.server.running(), "gunicorn ends", 15)
        assert "SIGKILL" not in client.server.log()


def test_turn_that_does_not_finish_is_ended_with_a_retryable_error() -> None:
    """When the drain time is over, readers see `worker_shutdown` and a regular end."""
    with draining_host(1) as client, ExitStack() as stack:
        streams = [stack.enter_context(client.chat(f"s-{n}", {"hold": True})) for n in range(5)]
        deaf = stack.enter_context(client.chat("deaf", {"ignore_cancel": 1}, {"sleep": 60}))
        wait_observed(client.server, "deaf", "deaf")
        client.server.signal(signal.SIGTERM)
        for stream in (*streams, deaf):
            (end,) = list(stream)
            assert (end.data["code"], end.data["retryable"]) == ("worker_shutdown", True)
        wait_for(lambda: not client.server.running(), "gunicorn ends", 15)
        assert "SIGKILL" not in client.server.log()


def test_quick_stop_ends_turns_at_once() -> None:
    """SIGINT does not wait for turns, but their readers are told."""
    with draining_host(30) as client:
        with client.chat("quick", {"hold": True}) as stream:
            wait_observed(client.server, "started", "quick")
            client.server.signal(signal.SIGINT)
            (end,) = list(stream)
            assert end.data["code"] == "worker_shutdown"
        wait_for(lambda: not client.server.running(), "gunicorn ends", 15)


def test_reload_replaces_the_worker_and_lets_turns_finish() -> None:
    """After HUP new requests go to a new worker, while the old one's turn is read to its end."""
    with draining_host(20) as client:
        old = worker_of(client)
        with client.chat("reloaded", {"tokens": 30, "pause": 0.1}) as stream:
            stream.until("token")
            client.server.signal(signal.SIGHUP)
            wait_for(lambda: worker_of_any(client) - {old}, "a new worker")
            answer = wait_for(lambda: ask_new_worker(client, old), "the new worker answers")
            assert answer != old
            assert stream.until("done")
        wait_for(lambda: old not in worker_of_any(client), "the old worker leaves", 15)
        assert "SIGKILL" not in client.server.log()


def test_worker_at_its_request_limit_is_replaced_without_a_lost_turn() -> None:
    """max_requests drains like a reload."""
    with draining_host(20, "--max-requests", "5") as client:
        old = worker_of(client)
        with client.chat("limit", {"tokens": 20, "pause": 0.1}) as stream:
            stream.until("token")
            for _ in range(8):
                ask_pid(client)
            assert stream.until("done")
        wait_for(lambda: old not in worker_of_any(client), "the old worker leaves", 15)
        # gunicorn's SIGTERM is lost on a worker that has just been forked.
        wait_for(lambda: ask_new_worker(client, old), "the new worker answers", 30)


def test_worker_with_too_many_stuck_threads_is_replaced() -> None:
    """Agents that never stop cost a worker, not the service."""
    with draining_host(1) as client:
        old = worker_of(client)
        for number in range(17):
            session = f"stuck-{number}"
            with client.chat(session, {"sleep": 600}):
                wait_observed(client.server, "started", session)
                client.cancel(session)
        wait_for(lambda: old not in worker_of_any(client), "the worker is replaced", 30)
        assert client.chat_json("after", {"text": "well"}).json["reply"] == "well"


def test_what_the_app_has_loaded_is_not_collected_again() -> None:
    """A worker's garbage collector leaves alone what was there before the first request."""
    with draining_host(1) as client:
        frozen = ReadingClient(client.server, prefix="").call("GET", "/frozen").json
    assert frozen > 10_000


def test_the_garbage_collector_looks_seldom() -> None:
    """A worker's garbage collector waits for 10,000 new objects, of which a start makes 1,000."""
    with draining_host(1) as client:
        thresholds = ReadingClient(client.server, prefix="").call("GET", "/thresholds").json
    assert thresholds == [10_000, *gc.get_threshold()[1:]]


def test_a_site_may_have_its_own_collections() -> None:
    """Thresholds that the site has set stay."""
    with gunicorn("tests.support.apps:collecting_app()", workers=1) as server:
        assert ReadingClient(server, prefix="").call("GET", "/thresholds").json == [500, 5, 5]


def worker_of_any(client: ReadingClient) -> set[int]:
    """All workers' process ids."""
    assert isinstance(client.server, Gunicorn)
    return set(client.server.worker_pids())


def ask_pid(client: ReadingClient) -> int:
    """The process that answers a request."""
    return int(ReadingClient(client.server, prefix="").call("GET", "/pid").json)


def ask_new_worker(client: ReadingClient, old: int) -> int:
    """The answering process, once it is not the old one; 0 before."""
    pid = ask_pid(client)
    return 0 if pid == old else pid
