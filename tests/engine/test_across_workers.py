"""Any worker of any host answers for any session."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.reading import observed
from tests.support.service import Service, owner_pid, service
from tests.support.sse import Frame, Stream
from tests.support.waiting import wait_for
from wsgi_app.events import EventId

TOKENS = 100
STEPS = (
    {"tokens": TOKENS // 2, "pause": 0.004},
    {"tool": {"name": "look", "output": {"found": [1, 2]}}},
    {"tokens": TOKENS // 2, "pause": 0.004},
)
REPLY = "".join(f"w{number} " for number in range(1, TOKENS // 2 + 1)) * 2


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """Two hosts of two workers each, with one Redis."""
    with service() as running:
        yield running


def pids_of(shared: Service) -> set[int]:
    """All workers' process ids."""
    return {pid for host in shared.hosts for pid in host.worker_pids()}


def test_every_worker_answers_for_a_session(shared: Service) -> None:
    """State, replay and poll are the same on every worker, while the turn runs and after it."""
    with shared.client.chat("everywhere", {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        for _ in range(12):
            for client in shared.direct:
                assert client.session("everywhere")["state"] == "running"
                assert [e["type"] for e in client.poll("everywhere", "1-0", 5)["events"]] == [
                    "token"
                ]
        assert shared.direct[1].cancel("everywhere")["cancelled"]
        assert stream.until("cancelled")
    for _ in range(8):
        for client in shared.direct:
            assert client.session("everywhere")["state"] == "idle"
            kinds = [frame.data["type"] for frame in client.replay("everywhere", "0-0")]
            assert kinds == ["token", "cancelled"]


def test_reader_on_another_worker_reads_live(shared: Service) -> None:
    """A reader on another worker gets the owner's very events, and not all of them at the end."""
    own, followed = read_on_both(shared, "live")
    assert [frame.id for frame in followed] == [frame.id for frame in own]
    assert sum(frame.at < own[-1].at for frame in followed) > len(own) / 4


@pytest.mark.slow
def test_live_reader_on_another_worker_is_close_behind(shared: Service) -> None:
    """A reader on another worker gets each token at most 50 ms after the owner's own, at p99."""
    delays: list[float] = []
    for number in range(4):
        own, followed = read_on_both(shared, f"close-{number}")
        sent = {frame.id: frame.at for frame in own}
        delays += [frame.at - sent[frame.id] for frame in followed]
    delays.sort()
    assert delays[int(len(delays) * 0.99)] < 0.05, delays[-10:]


def read_on_both(shared: Service, session: str) -> tuple[list[Frame], list[Frame]]:
    """What a turn's reader on its own worker gets, and one on another host."""
    with (
        shared.direct[0].chat(session, {"wait": 0.3}, {"tokens": 100, "pause": 0.02}) as own,
        shared.direct[1].events(session, "1-0") as other,
        ThreadPoolExecutor(2) as pool,
    ):
        reading = pool.submit(list[Frame], own)
        followed = list(other)
        return reading.result(), followed


@pytest.mark.parametrize("turns", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_reader_cut_at_random_gets_every_event_once(shared: Service, turns: int) -> None:
    """Readers that come back on any worker read each turn without a hole or a double."""

    def run_turn(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - repeatable cuts
        session = f"cut-{turns}-{number}"
        events: list[tuple[str, Any]] = []
        with shared.client.chat(session, *STEPS) as stream:
            read_until_cut(stream, events, chance)
        while events[-1][1]["type"] != "done":
            if chance.random() < 0.3:
                answer = shared.client.poll(session, events[-1][0], 0.2)
                events += [(event.pop("id"), event) for event in answer["events"]]
            else:
                with shared.client.events(session, events[-1][0]) as stream:
                    read_until_cut(stream, events, chance)
        check_events(events)
        replayed = shared.client.replay(session, "1-0")
        assert "".join(f.data["content"] for f in replayed if f.data["type"] == "token") == REPLY

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(run_turn, range(turns)))


def read_until_cut(stream: Stream, events: list[tuple[str, Any]], chance: random.Random) -> None:
    """Read frames and break off at a random one."""
    for frame in stream:
        events.append((frame.id or "", frame.data))
        if chance.random() < 0.05:
            return


def check_events(events: list[tuple[str, Any]]) -> None:
    """Each event once, in order, under ids without a hole."""
    tokens = [data["content"] for _, data in events if data["type"] == "token"]
    assert "".join(tokens) == REPLY
    kinds = [data["type"] for _, data in events if data["type"] != "token"]
    assert kinds == ["tool_call", "tool_result", "done"]
    ids = [EventId.parse(event_id) for event_id, _ in events]
    assert ids == sorted(set(ids))
    assert ids[-1].seq == TOKENS + 3


def test_waiting_turn_starts_on_its_own_worker(shared: Service) -> None:
    """Turns that wait in a session run one after the other, each on the worker that took it."""
    first = shared.direct[0].chat("queue", {"tokens": 20, "pause": 0.02})
    first.until("token")
    with first, shared.direct[1].chat("queue", {"text": "second"}, if_busy="enqueue") as second:
        assert second.headers["x-turn-id"] == "2"
        assert first.until("done")
        frames = list(second)
    assert [frame.id for frame in frames] == ["2-1", "2-2"]
    assert owner_pid(shared.client, "queue") in shared.hosts[1].worker_pids()
    assert shared.direct[0].call("POST", "/chat/queue", {"message": "m"}).status == 200


def test_interrupt_from_another_worker_ends_the_turn(shared: Service) -> None:
    """`interrupt` cancels what runs elsewhere, waits for its end, and starts."""
    with shared.direct[0].chat("interrupted", {"text": "a"}, {"hold": True}) as first:
        first.until("token")
        with shared.direct[1].chat("interrupted", {"text": "b"}, if_busy="interrupt") as second:
            assert [frame.data["type"] for frame in second] == ["token", "done"]
        assert [f.data for f in first] == [{"type": "cancelled", "reason": "interrupted"}]


def test_idempotency_key_holds_across_workers(shared: Service) -> None:
    """A repeated POST attaches to its turn on whichever worker it lands, also after the end."""
    headers = {"Idempotency-Key": "once"}
    body = {"message": "m", "metadata": {"steps": [{"tokens": 20, "pause": 0.02}]}}
    streams = [
        client.stream("POST", "/chat/keyed", body, headers)
        for client in (*shared.direct, *shared.direct)
    ]
    texts = []
    for stream in streams:
        with stream:
            assert stream.headers["x-turn-id"] == "1"
            texts.append([(frame.id, frame.data) for frame in stream][-1])
    assert len({str(text) for text in texts}) == 1
    starts = [time for host in shared.hosts for time in observed(host, "started", "keyed")]
    assert len(starts) == 1


def test_question_is_answered_from_any_worker(shared: Service) -> None:
    """An answer posted to another worker reaches the agent that asked."""
    with shared.direct[0].chat("asked", {"ask": "really?"}) as stream:
        request_id = stream.until("input_request")[-1].data["request_id"]
        answer = {"request_id": request_id, "value": "yes"}
        assert shared.direct[1].call("POST", "/chat/asked/input", answer).status == 200
        assert stream.until("done")[-1].data["reply"] == "yes"


def test_delete_from_another_worker_ends_the_turn(shared: Service) -> None:
    """DELETE on another worker ends the turn as deleted, and the session is forgotten."""
    with shared.direct[0].chat("deleted", {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        assert shared.direct[1].call("DELETE", "/session/deleted").json == {
            "ok": True,
            "deleted": True,
        }
        assert [f.data for f in stream] == [{"type": "cancelled", "reason": "deleted"}]
    assert shared.direct[0].call("GET", "/session/deleted").status == 404


def test_reader_on_another_worker_keeps_the_turn() -> None:
    """The orphan time runs from the last reader on whichever worker it was."""
    with service(env={"AGENT_ORPHAN_SECONDS": "1", "AGENT_LEASE_SECONDS": "2"}) as shared:
        owner = shared.direct[0].chat("followed", {"text": "a"}, {"hold": True})
        owner.until("token")
        with shared.direct[1].events("followed", "1-1") as follower:
            follower.wait_comments(1)
            owner.abort()
            time_gone = time.monotonic()
            with pytest.raises(TimeoutError):
                follower.next(4)
            assert time.monotonic() - time_gone >= 4
            assert shared.client.session("followed")["state"] == "running"
        wait_for(lambda: shared.client.session("followed")["state"] == "idle", "orphaned", 15)


@pytest.mark.slow
def test_session_agents_follow_their_session() -> None:
    """An agent with close() lives with its session's owner, and closes when that changes."""
    app = "tests.support.session_agents:session_agents_app()"
    with service(
        app, workers=1, env={"AGENT_IDLE_SECONDS": "600", "AGENT_AFFINITY": "any"}
    ) as shared:
        one, two = shared.direct
        assert one.chat_json("kept").json["reply"] == "1"
        assert one.chat_json("kept").json["reply"] == "2", "the same object"
        assert two.chat_json("kept").json["reply"] == "1", "rebuilt elsewhere"
        wait_for(
            lambda: observed(shared.hosts[0], "closed_agent", "kept"), "closed by its old owner"
        )
        assert not observed(shared.hosts[1], "closed_agent", "kept")
        one.call("DELETE", "/session/kept")
        wait_for(lambda: observed(shared.hosts[1], "closed_agent", "kept"), "closed by DELETE")
        assert one.chat_json("left").json["reply"] == "1"
        shared.hosts[0].stop()
        assert observed(shared.hosts[0], "closed_agent", "left"), "closed at shutdown"
