"""HUP after HUP under load: readers always get an end, and gunicorn never has to kill."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.reading import ReadingClient
from tests.support.service import NAMESPACE, Service, service
from tests.support.sse import StreamCutError
from tests.support.waiting import wait_for
from wsgi_app.store.redis import RedisStore

READERS = 50
#: While no old worker takes requests and the new ones load the app, a request waits to be accepted.
TURN_SECONDS = 120
TERMINAL = ("done", "error", "cancelled")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_reload_under_load() -> None:
    """Two reloads under 50 streams leave no reader without an end and no session stuck."""
    reload_under_load(2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_reloads_under_load() -> None:
    """The same, twenty times."""
    reload_under_load(20)


def reload_under_load(times: int) -> None:
    """Keep 50 readers busy while the host reloads."""
    with service(hosts=1, workers=2, env={"AGENT_DRAIN_SECONDS": "2"}) as shared:
        stop = threading.Event()
        with ThreadPoolExecutor(READERS) as pool:
            loops = [pool.submit(read_turns, shared, number, stop) for number in range(READERS)]
            try:
                for _ in range(times):
                    reload_once(shared)
            finally:
                stop.set()
            turns = [loop.result(timeout=2 * TURN_SECONDS) for loop in loops]
        assert min(turns) >= times / 2
        for number in range(READERS):
            shared.client.wait_idle(f"load-{number}", 15)
        log = shared.log()
        assert "SIGKILL" not in log
        assert "WORKER TIMEOUT" not in log


def reload_once(shared: Service) -> None:
    """Replace all workers, and wait until the old ones have left and the new ones take requests.

    A host that is reloaded before its new workers have loaded the app serves nobody.
    """
    host = shared.hosts[0]
    old = set(host.worker_pids())
    host.signal(signal.SIGHUP)
    wait_for(lambda: not old & set(host.worker_pids()), "the old workers leave", 60)
    store = RedisStore(shared.store.url, namespace=NAMESPACE)
    try:
        wait_for(lambda: len(signed_on(store) - old) == len(old), "the new workers sign on", 60)
    finally:
        store.close()


def signed_on(store: RedisStore) -> set[int]:
    """The processes that serve: they sign on once they have loaded the app."""
    return {view.info.pid for view in store.workers()}


def read_turns(shared: Service, number: int, stop: threading.Event) -> int:
    """Run one turn after the other in a session, each read to its end; returns how many."""
    turns = 0
    while not stop.is_set():
        read_turn(shared.client, f"load-{number}")
        turns += 1
    return turns


def read_turn(client: ReadingClient, session_id: str) -> None:
    """Read a turn to its terminal event, coming back as often as it takes."""
    key = f"{session_id}-{time.monotonic_ns()}"
    body = {"message": "m", "metadata": {"steps": [{"tokens": 30, "pause": 0.05}]}}
    deadline = time.monotonic() + TURN_SECONDS
    last_id = ""
    while True:
        assert time.monotonic() < deadline, f"no end of {key} within {TURN_SECONDS} s"
        headers = {"Idempotency-Key": key} | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            with client.stream(
                "POST", f"/chat/{session_id}", body, headers, seconds=TURN_SECONDS
            ) as stream:
                if stream.status != 200:
                    assert stream.status in (502, 503), stream.body()
                    continue
                for frame in stream:
                    last_id = frame.id or ""
                    if frame.data["type"] in TERMINAL:
                        return
        except (StreamCutError, ConnectionError):
            continue
