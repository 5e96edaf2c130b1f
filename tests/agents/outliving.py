"""What a framework's turns do when their worker is killed, the same for each framework."""

from __future__ import annotations

import os
import random
import signal
import time

from tests.support.client import new_session
from tests.support.processes import threads_of
from tests.support.reading import ReadingClient
from tests.support.resumed import (
    BOUNDARIES,
    REPLY,
    Follower,
    Rig,
    call,
    check_effects,
    ended_well,
    kill,
    kill_owner,
    message,
)
from tests.support.service import WORKERS, owner_pid
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

#: Turns and kills of a run at random moments.
ROUNDS = int(os.environ.get("TEST_RESUMED_ROUNDS", "8"))


def follower_of(rig: Rig, prefix: str) -> Follower:
    """A reader of a new session, once all workers have loaded the app."""
    rig.shared.wait_loaded(f"site/{prefix}", WORKERS * len(rig.shared.hosts))
    return Follower(ReadingClient(rig.shared.hosts[0], prefix=f"/{prefix}"), new_session())


def goes_on_at(rig: Rig, prefix: str, boundary: str) -> None:
    """Killed while the model is asked, the turn goes on from its last finished step."""
    follower = follower_of(rig, prefix)
    number, held = BOUNDARIES[boundary]
    text = message(follower.session)
    rig.upstream.held[text, number] = held
    follower.start(text)
    wait_for(lambda: (text, number) not in rig.upstream.held, "the model is asked", 60)
    said = 2 * number + sum(len(getattr(step, "tokens", ())) for step in held)
    wait_for(lambda: follower.kinds.count("token") >= said, "its text is read", 60)
    kill_owner(rig, follower)
    ended_well(follower, rig, ["a", "b"])
    assert follower.kinds.count("withdrawn") == 1
    kinds = [frame.data["type"] for frame in follower.counted()]
    assert (kinds.count("tool_call"), kinds.count("tool_result")) == (2, 2)
    asked = [r.body["messages"] for r in rig.upstream.requests if follower.session in str(r.body)]
    roles = [one["role"] for one in asked[-1] if one["role"] != "system"]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]


def is_told(rig: Rig, prefix: str) -> None:
    """A tool whose worker died in it is not run again: the model hears that nobody knows."""
    follower = follower_of(rig, prefix)
    follower.start(message(follower.session, "die"))
    ended_well(follower, rig, ["a", "b"])
    results = [f.data for f in follower.frames if f.data["type"] == "tool_result"]
    assert [result["status"] for result in results] == ["error", "complete"]
    assert "unknown" in results[0]["output"]["error"]
    asked = [r.body["messages"] for r in rig.upstream.requests if follower.session in str(r.body)]
    assert "unknown" in str(asked[-1][-3]["content"]), "the model heard it"


def is_tried_again(rig: Rig, prefix: str) -> None:
    """A tool that may run again does so, with the same key and another attempt."""
    follower = follower_of(rig, prefix)
    follower.start(message(follower.session, second="die"))
    ended_well(follower, rig, ["a", "b", "b"])
    first, second = rig.effects(follower.session)[1:]
    assert first[3] == second[3], "the key is the same"
    assert [first[4], second[4]] == ["1", "2"]
    assert first[5] != second[5], "it is another process"


def finished_calls_stay(rig: Rig, prefix: str) -> None:
    """Of calls at the same time, one that had ended is not run again, one in flight is told."""
    follower = follower_of(rig, prefix)
    done = call(1, "look_up", "b").calls[0]
    slow = Call("call-2", "charge", '{"name": "a", "how": "wait 30"}')
    text = scripted_message([ToolCalls((done, slow))], [Text(("Both.",))], tag=follower.session)
    follower.start(text)
    wait_for(lambda: sorted(rig.names(follower.session)) == ["a", "b"], "both run", 60)
    wait_for(lambda: rig.has_recorded(follower.session, b'call-1","value":'), "one is recorded")
    kill_owner(rig, follower)
    assert follower.end().data["reply"] == "Both."
    assert sorted(rig.names(follower.session)) == ["a", "b"]
    told = [f.data for f in follower.counted() if f.data["type"] == "tool_result"]
    assert sorted(result["tool"] for result in told) == ["charge", "look_up"]
    results = {result["tool"]: result["output"] for result in told}
    assert results["look_up"] == "found b"
    assert "unknown" in str(results["charge"])


def is_decided(rig: Rig, prefix: str) -> None:
    """Of a tool that asks, a call in flight is a question; yes runs it again, with its key."""
    follower = follower_of(rig, prefix)
    text = scripted_message(
        [call(1, "order", "o", "die")], [Text(("Ordered.",))], tag=follower.session
    )
    follower.start(text)
    wait_for(lambda: "input_request" in follower.kinds, "the question", 60)
    answer(follower)
    assert follower.end().data["reply"] == "Ordered."
    assert rig.names(follower.session) == ["o", "o"]
    assert len({effect[3] for effect in rig.effects(follower.session)}) == 1


def question_stays(rig: Rig, prefix: str, tool: str) -> None:
    """What a call asks before it begins stays asked, and the answer runs it once."""
    follower = follower_of(rig, prefix)
    text = scripted_message([call(1, tool, "p")], [Text(("Paid.",))], tag=follower.session)
    follower.start(text)
    wait_for(lambda: "input_request" in follower.kinds, "the question", 60)
    kill_owner(rig, follower)
    wait_for(lambda: follower.kinds.count("input_request") == 2, "the question again", 60)
    first, second = (f.data for f in follower.frames if f.data["type"] == "input_request")
    assert first == second
    answer(follower)
    assert follower.end().data["reply"] == "Paid."
    assert rig.names(follower.session) == ["p"]


def question_rests(rig: Rig, prefix: str, tool: str) -> None:
    """While a question waits long its turn has no thread; the answer has it go on, once."""
    follower = follower_of(rig, prefix)
    text = scripted_message([call(1, tool, "p")], [Text(("Paid.",))], tag=follower.session)
    follower.start(text)
    wait_for(lambda: "input_request" in follower.kinds, "the question", 60)
    pid = owner_pid(follower.client, follower.session)
    busy = threads_of(pid)
    wait_for(lambda: threads_of(pid) < busy, "the turn rests", 15)
    answer(follower)
    assert follower.end().data["reply"] == "Paid."
    assert rig.names(follower.session) == ["p"]
    assert follower.kinds.count("input_request") == 1
    assert "withdrawn" not in follower.kinds
    kinds = follower.kinds
    assert (kinds.count("tool_call"), kinds.count("tool_result")) == (1, 1)


def random_kills(rig: Rig, prefix: str) -> None:
    """Whenever its worker is killed, a turn has one end, its exact text, and no effect twice."""
    chance = random.Random(prefix)  # noqa: S311 - no secret
    for _ in range(ROUNDS):
        follower = follower_of(rig, prefix)
        follower.start(message(follower.session, "wait 0.2", "wait 0.2"))
        time.sleep(chance.uniform(0, 0.9))
        kill(owner_pid(follower.client, follower.session), signal.SIGKILL)
        end = follower.end(120)
        assert end.data["type"] == "done", end.data
        assert follower.text() == REPLY == end.data["reply"]
        check_effects(rig, follower)
        kinds = [frame.data["type"] for frame in follower.counted()]
        assert (kinds.count("tool_call"), kinds.count("tool_result")) == (2, 2), kinds


def answer(follower: Follower) -> None:
    """Say yes to the question."""
    asked = next(f.data for f in follower.frames if f.data["type"] == "input_request")
    body = {"request_id": asked["request_id"], "value": True}
    assert follower.client.call("POST", f"/chat/{follower.session}/input", body).status == 200
