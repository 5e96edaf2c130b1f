"""Workers that die or stand still, and what their readers see."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.reading import ReadingClient
from tests.support.service import WORKERS, Service, owner_pid, service
from tests.support.sse import Frame, Stream, StreamCutError
from tests.support.waiting import wait_for
from wsgi_app.events import LOST_SEQ, EventId

LEASE_SECONDS = 3
LONG_LEASE_SECONDS = 60


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """Two hosts of two workers each, with a short lease."""
    with service(env={"AGENT_LEASE_SECONDS": str(LEASE_SECONDS)}) as running:
        yield running


@pytest.fixture
def patient() -> Iterator[Service]:
    """A host of two workers whose lease no test waits for."""
    with service(hosts=1, env={"AGENT_LEASE_SECONDS": str(LONG_LEASE_SECONDS)}) as running:
        yield running


def read_to_cut(stream: Stream) -> list[Frame]:
    """Read until the connection breaks off."""
    frames: list[Frame] = []
    with pytest.raises(StreamCutError):
        frames.extend(iter(stream.next, None))
    return frames


def reconnect(client: ReadingClient, session_id: str, after: str, seconds: float) -> list[Frame]:
    """Come back as an EventSource does, until there is a terminal event."""
    frames: list[Frame] = []
    deadline = time.monotonic() + seconds
    while not frames or frames[-1].data["type"] not in ("done", "error", "cancelled"):
        assert time.monotonic() < deadline, f"no end within {seconds} s: {frames}"
        with client.events(session_id, frames[-1].id if frames else after) as stream:
            if stream.status == 200:
                frames += list(stream)
    return frames


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_killed_workers_readers_learn_it_within_a_second(shared: Service, number: int) -> None:
    """After kill -9 readers see a cut, then what is journaled, then `worker_lost`, at once."""
    host = shared.hosts[0]
    wait_for(lambda: len(answering_pids(shared)) == WORKERS, "both workers answer", 60)
    assert len(host.worker_pids()) == WORKERS
    assert kill_under_a_reader(shared, f"killed-{number}") < 1


def test_killed_workers_readers_learn_it_long_before_the_lease(patient: Service) -> None:
    """The same by the arbiter, at once, and not when the worker's lease is over."""
    assert kill_under_a_reader(patient, "killed") < LONG_LEASE_SECONDS


def answering_pids(shared: Service) -> set[int]:
    """The workers of the first host that take requests now."""
    site = ReadingClient(shared.hosts[0], prefix="")
    return {site.call("GET", "/pid").json for _ in range(8)}


def kill_under_a_reader(shared: Service, session: str) -> float:
    """Kill a turn's worker and read on; returns after how many seconds its end was seen."""
    client = shared.direct[0]
    with client.chat(session, {"tokens": 2000, "pause": 0.01}) as stream:
        seen = stream.until("token") + [frame for _ in range(40) if (frame := stream.next())]
        os.kill(owner_pid(client, session), signal.SIGKILL)
        killed_at = time.monotonic()
        seen += read_to_cut(stream)
    rest = reconnect(client, session, seen[-1].id or "", LONG_LEASE_SECONDS)
    took_seconds = time.monotonic() - killed_at
    assert rest[-1].data["code"] == "worker_lost"
    assert rest[-1].data["retryable"] is True
    assert rest[-1].id == str(EventId(1, LOST_SEQ))
    ids = [EventId.parse(frame.id or "") for frame in seen + rest]
    assert ids == sorted(set(ids)), "nothing doubled, though the reader was ahead of the journal"
    assert client.session(session)["state"] == "idle"
    assert client.chat_json(session, {"text": "again"}).json["reply"] == "again"
    whole = shared.direct[-1].replay(session, "1-0")
    kinds = [frame.data["type"] for frame in whole if frame.data["type"] != "token"]
    assert kinds == ["error", "done"]
    said = [
        frame.data["content"]
        for frame in whole
        if frame.data["type"] == "token" and (frame.id or "").startswith("1-")
    ]
    messages = [message["content"] for message in client.session(session)["messages"]]
    assert messages[1] == "".join(said), "the history holds what the journal holds"
    return took_seconds


def test_waiting_turn_outlives_the_running_ones_worker(shared: Service) -> None:
    """When the worker of the running turn dies, a turn that waits elsewhere starts."""
    with (
        shared.direct[0].chat("outlived", {"hold": True}) as first,
        shared.direct[1].chat("outlived", {"text": "second"}, if_busy="enqueue") as second,
    ):
        first.wait_comments(1)
        os.kill(owner_pid(shared.client, "outlived"), signal.SIGKILL)
        assert [frame.data["type"] for frame in second] == ["token", "done"]


def test_stopped_worker_is_fenced(shared: Service) -> None:
    """After SIGSTOP beyond the lease a turn is lost, and its worker adds nothing on waking."""
    client = shared.direct[0]
    with client.chat("stopped", {"tokens": 3000, "pause": 0.01}) as stream:
        seen = stream.until("token")
        pid = owner_pid(client, "stopped")
        os.kill(pid, signal.SIGSTOP)
        try:
            other = shared.direct[1]
            rest = reconnect(other, "stopped", seen[-1].id or "", 10 * LEASE_SECONDS)
            assert rest[-1].data["code"] == "worker_lost"
            assert other.chat_json("stopped", {"text": "next"}).json["reply"] == "next"
            before = [(frame.id, frame.data) for frame in other.replay("stopped", "1-0")]
        finally:
            os.kill(pid, signal.SIGCONT)
        own = list(stream)
        assert own[-1].data["code"] == "worker_lost", "its own reader learns it from the store"
    wait_for(lambda: client.session("stopped")["state"] == "idle", "nothing runs")
    after = [(frame.id, frame.data) for frame in client.replay("stopped", "1-0")]
    assert after == before


def test_lease_ends_turns_of_a_whole_lost_host() -> None:
    """When arbiter and workers die together, another host ends their turns by the lease."""
    with service(env={"AGENT_LEASE_SECONDS": str(LEASE_SECONDS)}) as shared:
        with shared.direct[0].chat("host-lost", {"text": "a"}, {"hold": True}) as stream:
            stream.until("token")
            shared.direct[1].chat_json(
                "warm-up"
            )  # a host judges once it has a worker's life itself
            shared.hosts[0].kill()
        killed_at = time.monotonic()
        rest = reconnect(shared.direct[1], "host-lost", "1-0", 10 * LEASE_SECONDS)
        assert rest[-1].data["code"] == "worker_lost"
        assert time.monotonic() - killed_at < 5 * LEASE_SECONDS
