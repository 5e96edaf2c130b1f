"""A turn outlives its worker: another one goes on, and no tool's effect happens twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.agents.outliving import question_rests
from tests.support.client import new_session
from tests.support.node import run_node
from tests.support.reading import ReadingClient
from tests.support.resumed import (
    BOUNDARIES,
    REPLY,
    STALL,
    Follower,
    Rig,
    call,
    check_effects,
    ended_well,
    kill,
    kill_owner,
    message,
    resuming,
    runs,
)
from tests.support.service import WORKERS, owner_pid
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

#: Turns and kills of a run at random moments.
ROUNDS = int(os.environ.get("TEST_RESUMED_ROUNDS", "30"))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One host of three workers, whose lease no test waits for."""
    folder = tmp_path_factory.mktemp("resumed")
    with resuming(folder, workers=3, env={"AGENT_LEASE_SECONDS": "60"}) as running:
        yield running


@pytest.mark.parametrize(
    "boundary",
    [
        pytest.param(name, marks=() if name == "before the end" else pytest.mark.slow)
        for name in BOUNDARIES
    ],
)
def test_a_turn_goes_on_at_each_boundary(rig: Rig, boundary: str) -> None:
    """Killed while the model is asked, the turn goes on from its last finished step."""
    session = new_session()
    number, held = BOUNDARIES[boundary]
    text = message(session)
    rig.upstream.held[text, number] = held
    follower = Follower(ReadingClient(rig.shared.hosts[0]), session).start(text)
    wait_for(lambda: (text, number) not in rig.upstream.held, "the model is asked")
    tokens = sum(len(getattr(step, "tokens", ())) for step in held)
    said = 2 * number + tokens
    wait_for(lambda: follower.kinds.count("token") >= said, "its text is read")
    kill_owner(rig, follower)
    ended_well(follower, rig, ["a", "b"])
    assert follower.kinds.count("withdrawn") == 1
    assert "status" in follower.kinds


def test_a_call_in_flight_is_reported(rig: Rig) -> None:
    """A tool whose worker died in it is not run again: the model hears that nobody knows."""
    session = new_session()
    follower = Follower(ReadingClient(rig.shared.hosts[0]), session)
    follower.start(message(session, "die"))
    ended_well(follower, rig, ["a", "b"])
    results = [f.data for f in follower.frames if f.data["type"] == "tool_result"]
    assert [result["status"] for result in results] == ["error", "complete"]
    assert "unknown" in results[0]["output"]["error"]
    asked = [r.body["messages"] for r in rig.upstream.requests if session in str(r.body)]
    assert "unknown" in asked[-1][-3]["content"], "the model heard it"


@pytest.mark.slow
def test_a_call_in_flight_is_tried_again(rig: Rig) -> None:
    """A tool that may run again does so, with the same key and another attempt."""
    session = new_session()
    follower = Follower(ReadingClient(rig.shared.hosts[0]), session)
    follower.start(message(session, second="die"))
    ended_well(follower, rig, ["a", "b", "b"])
    first, second = rig.effects(session)[1:]
    assert first[3] == second[3], "the key is the same"
    assert [first[4], second[4]] == ["1", "2"]
    assert first[5] != second[5], "it is another process"
    kinds = [f.data["type"] for f in follower.counted()]
    assert (kinds.count("tool_call"), kinds.count("tool_result")) == (2, 2)


@pytest.mark.slow
def test_a_turn_that_kills_its_workers_ends(rig: Rig) -> None:
    """After its last attempt a turn ends as lost, with a hint at what may be the cause."""
    session = new_session()
    text = message(session, second="die")
    rig.upstream.held[text, 2] = [STALL]
    follower = Follower(ReadingClient(rig.shared.hosts[0]), session).start(text)
    wait_for(lambda: (text, 2) not in rig.upstream.held, "the second attempt's last step", 60)
    kill_owner(rig, follower)
    end = follower.end()
    assert end.data["code"] == "worker_lost"
    assert "hint" in end.data["details"]
    assert rig.names(session) == ["a", "b", "b"]


def test_an_agent_that_does_not_resume_ends(rig: Rig) -> None:
    """With ``resume=False`` a turn ends with its worker, as lost."""
    session = new_session()
    follower = Follower(ReadingClient(rig.shared.hosts[0], prefix="/plain"), session)
    follower.start(message(session, "die"))
    assert follower.end().data["code"] == "worker_lost"
    assert rig.names(session) == ["a"]


@pytest.mark.slow
def test_steps_of_a_generator_are_given_back(rig: Rig) -> None:
    """A generator runs again from its start, and gets what its steps have recorded."""
    session = new_session()
    client = ReadingClient(rig.shared.hosts[0], prefix="/steps")
    follower = Follower(client, session).start("two")
    wait_for(lambda: rig.names(session) == ["one", "two"], "the second step runs")
    kill_owner(rig, follower)
    end = follower.end()
    assert end.data["reply"] == "one ONE two TWO three THREE " == follower.text()
    assert rig.names(session) == ["one", "two", "two", "three"]
    _, first, second, _ = rig.effects(session)
    assert (first[3], first[4], second[4]) == (second[3], "1", "2")


@pytest.mark.slow
def test_the_user_decides_about_a_call(rig: Rig) -> None:
    """Of a tool that asks, a call in flight is a question; yes runs it again, with its key."""
    session = new_session()
    text = scripted_message([call(1, "order", "o", "die")], [Text(("Ordered.",))], tag=session)
    client = ReadingClient(rig.shared.hosts[0])
    follower = Follower(client, session).start(text)
    wait_for(lambda: "input_request" in follower.kinds, "the question", 60)
    asked = next(f.data for f in follower.frames if f.data["type"] == "input_request")
    assert "again" in asked["prompt"]
    answer = {"request_id": asked["request_id"], "value": True}
    assert client.call("POST", f"/chat/{session}/input", answer).status == 200
    assert follower.end().data["reply"] == "Ordered."
    assert rig.names(session) == ["o", "o"]
    assert len({effect[3] for effect in rig.effects(session)}) == 1


@pytest.mark.slow
def test_a_question_outlives_its_worker(rig: Rig) -> None:
    """A call that waits for its approval has not begun: its question stays, and runs it once."""
    session = new_session()
    text = scripted_message([call(1, "pay", "p")], [Text(("Paid.",))], tag=session)
    client = ReadingClient(rig.shared.hosts[0])
    follower = Follower(client, session).start(text)
    wait_for(lambda: "input_request" in follower.kinds, "the question", 60)
    kill_owner(rig, follower)
    wait_for(lambda: follower.kinds.count("input_request") == 2, "the question again", 60)
    first, second = (f.data for f in follower.frames if f.data["type"] == "input_request")
    assert first == second
    assert rig.names(session) == []
    answer = {"request_id": first["request_id"], "value": True}
    assert client.call("POST", f"/chat/{session}/input", answer).status == 200
    assert follower.end().data["reply"] == "Paid."
    assert rig.names(session) == ["p"]


@pytest.mark.slow
def test_an_approval_that_takes_long_has_no_thread(rig: Rig) -> None:
    """The turn rests, and the answer runs the call once, in the same worker."""
    question_rests(rig, "agents", "pay")


@pytest.mark.slow
@pytest.mark.parametrize("answered", ["later", "while nobody has the turn"])
def test_a_clients_tool_outlives_its_worker(tmp_path: Path, answered: str) -> None:
    """What the client was asked to run stays asked; a result that nobody has yet is not lost."""
    settings = {"AGENT_LEASE_SECONDS": "3"}
    with resuming(tmp_path, hosts=2, env=settings) as rig:
        session = new_session()
        paint = ToolCalls((Call("c1", "paint", '{"wall":1}'),))
        text = scripted_message([Text(("I ask. ",)), paint], [Text(("Painted.",))], tag=session)
        client = rig.shared.direct[1]
        follower = Follower(rig.shared.direct[0], session)
        follower.start(text, tools=[{"name": "paint", "description": "Paint.", "parameters": {}}])
        wait_for(lambda: "tool_request" in follower.kinds, "the request", 60)
        follower.client = client
        asked = next(f.data for f in follower.frames if f.data["type"] == "tool_request")
        body = {"request_id": asked["request_id"], "results": [{"call_id": "c1", "output": "red"}]}
        rig.shared.hosts[0].kill()
        if answered == "later":
            wait_for(lambda: follower.kinds.count("tool_request") == 2, "it is asked again", 60)
        assert client.call("POST", f"/chat/{session}/tool_result", body).status == 200
        assert follower.end().data["reply"] == "I ask. Painted." == follower.text()
        told = [f.data for f in follower.counted() if f.data["type"] == "tool_result"]
        assert [result["output"] for result in told] == ["red"]
        asks = [f.data for f in follower.frames if f.data["type"] == "tool_request"]
        assert all(one == asked for one in asks)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_turn_that_waits_outlives_its_worker(tmp_path: Path, how: signal.Signals) -> None:
    """A turn in the queue of a session runs on another worker, once, when its own has gone."""
    settings = {"AGENT_LEASE_SECONDS": "3", "AGENT_DRAIN_SECONDS": "1"}
    with resuming(tmp_path, hosts=2, workers=1, env=settings) as rig:
        session = new_session()
        first = Follower(rig.shared.direct[0], session).start(message(session, "wait 12"))
        wait_for(partial(runs, rig, session, "a"), "the first runs", 30)
        text = scripted_message([call(3, "charge", "c")], [Text(("Second.",))], tag="second")
        body = {"message": text, "if_busy": "enqueue", "on_disconnect": "continue"}
        with rig.shared.direct[1].stream("POST", f"/chat/{session}", body) as stream:
            assert stream.status == 200
        host = rig.shared.hosts[1]
        host.kill() if how == signal.SIGKILL else host.signal(how)
        first.client = rig.shared.direct[0]
        assert first.end().data["reply"] == REPLY
        wait_for(partial(runs, rig, session, "c"), "the second runs", 30)
        rig.shared.direct[0].wait_idle(session, 30)
        messages = rig.shared.direct[0].session(session)["messages"]
        assert messages[-1]["content"] == "Second."
        assert rig.names(session) == ["a", "b", "c"]


@pytest.mark.slow
def test_a_stopped_worker_does_nothing_more(tmp_path: Path) -> None:
    """A worker that stood still for three leases writes nothing and runs no further tool."""
    lease_seconds = 2
    with resuming(tmp_path, hosts=2, env={"AGENT_LEASE_SECONDS": str(lease_seconds)}) as rig:
        session = new_session()
        text = message(session)
        rig.upstream.held[text, 1] = [Text(("And ",)), STALL]
        ahead = Follower(rig.shared.direct[0], session).start(text)
        wait_for(lambda: ahead.kinds.count("token") >= 4, "the second step is read", 60)
        pid = owner_pid(rig.shared.client, session)
        connection = rig.upstream.requests[-1].connection
        kill(pid, signal.SIGSTOP)
        try:
            follower = Follower(rig.shared.direct[1], session).follow()
            ended_well(follower, rig, ["a", "b"])
            stored = [(f.id, f.data) for f in rig.shared.direct[1].replay(session, "1-0")]
            asked = len(rig.upstream.requests)
        finally:
            kill(pid, signal.SIGCONT)
        connection.wait_closed(30)
        end = ahead.end()
        assert (end.data["type"], ahead.text()) == ("done", REPLY), "its own reader goes on, too"
        assert rig.names(session) == ["a", "b"]
        assert len(rig.upstream.requests) == asked
        assert [(f.id, f.data) for f in rig.shared.direct[1].replay(session, "1-0")] == stored


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Over two hosts, whenever workers are killed: one end, exact text, no effect twice."""
    chance = random.Random(18)  # noqa: S311 - no secret
    settings = {"AGENT_LEASE_SECONDS": "5", "AGENT_MAX_ATTEMPTS": "50"}
    with resuming(tmp_path, hosts=2, env=settings) as rig:
        followers = []
        for number in range(ROUNDS):
            session = new_session()
            follower = Follower(rig.shared.direct[number % 2], session)
            followers.append(follower.start(message(session, "wait 0.2", "wait 0.2")))
            follower.client = rig.shared.client
            time.sleep(chance.uniform(0, 0.6))
            host = chance.choice(rig.shared.hosts)
            pids = host.worker_pids()
            if len(pids) == WORKERS:
                kill(chance.choice(sorted(pids)), signal.SIGKILL)
        for follower in followers:
            end = follower.end(240)
            assert end.data["type"] == "done", (follower.session, end.data)
            assert end.data["reply"] == REPLY == follower.text()
            check_effects(rig, follower)


def test_what_a_sub_agent_said_comes_once(rig: Rig) -> None:
    """Its call runs again beside one that has its result; agent-client.js takes the half back."""
    session = new_session()
    calls = [
        Call("call-1", "delegate", '{"name": "a", "how": "hold"}'),
        Call("call-2", "charge", '{"name": "b", "how": "wait 0.5"}'),
    ]
    text = scripted_message([ToolCalls(tuple(calls))], [Text(("All ", "done."))], tag=session)
    reader = ReadingClient(rig.shared.hosts[0])

    def told() -> list[tuple[str, str]]:
        answer = reader.call("GET", f"/chat/{session}/poll?after=0-0&wait=0")
        events = answer.json["events"] if answer.status == 200 else []
        return [(event["type"], event.get("parent", "")) for event in events]

    with ThreadPoolExecutor(1) as pool:
        url = reader.server.url + "/agents/"
        given: dict[str, Any] = {"url": url, "session": session, "message": text}
        page = pool.submit(run_node, "agent_client.mjs", scenario="resumed", **given)
        halves = {("token", "call-1"), ("tool_result", "")}
        wait_for(lambda: halves <= set(told()), "half of it is told, and the other call's result")
        os.kill(owner_pid(reader, session), signal.SIGKILL)
        (shown,) = page.result(60)
    events = shown["events"]
    (withdrawn,) = [event for event in events if event["type"] == "withdrawn"]
    assert withdrawn["calls"] == ["call-1"]
    said = [event["content"] for event in events if event.get("parent") == "call-1"]
    assert said == ["Half ", "and half."]
    results = {one["call_id"]: one["output"] for one in events if one["type"] == "tool_result"}
    assert results == {"call-1": "found a", "call-2": "charged b"}
    assert events[-1]["reply"] == "All done."
    assert sorted(rig.names(session)) == ["a", "a", "b"]
