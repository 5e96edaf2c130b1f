"""The agent for A2A clients: what goes over the network, on two workers with one store."""

from __future__ import annotations

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import pytest

from tests.a2a.client import (
    CANCELED,
    COMPLETED,
    INPUT_REQUIRED,
    VERSION,
    A2aClient,
    Shown,
    say,
    state_of,
    take_all,
    text_of,
)
from tests.support.client import new_session
from tests.support.reading import ReadingClient, observed, served, wait_observed
from tests.support.servers import Gunicorn
from tests.support.service import owner_pid
from tests.support.sse import StreamCutError
from tests.support.waiting import wait_for

TOKENS: Final = 60

STEPS: Final = ({"status": "busy"}, {"tokens": TOKENS, "pause": 0.004})

REPLY: Final = "".join(f"w{number} " for number in range(1, TOKENS + 1))


def read_cut(client: A2aClient, chance: random.Random) -> Shown:
    """Read a task's stream to its end, which is cut at random."""
    shown, message = Shown(), say(*STEPS, contextId=new_session())
    while True:
        # Cut before the first event, it sends the message again: that is the same task.
        begin = partial(client.open, message)
        if shown.last_id is not None:
            begin = partial(client.subscribe, shown.task["id"], shown.last_id)
        with served(begin) as stream:
            for frame in stream:
                shown.take(frame)
                if chance.random() < 0.06:
                    stream.abort()
                    break
        if shown.states and shown.states[-1] == COMPLETED:
            return shown


@pytest.mark.parametrize("turns", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_tasks_cut_at_random_lose_and_double_nothing(client: A2aClient, turns: int) -> None:
    """However often and wherever streams are cut, on any worker, the reply is exact."""
    with ThreadPoolExecutor(8) as pool:
        chances = [random.Random(number) for number in range(turns)]  # noqa: S311 - repeatable
        for shown in pool.map(lambda chance: read_cut(client, chance), chances):
            assert shown.texts == {"reply": REPLY}
            assert text_of(client.task(shown.task["id"])["artifacts"][0]) == REPLY


def test_who_subscribes_late_gets_all(client: A2aClient) -> None:
    """The first event is the task so far, and what follows goes on from exactly there."""
    with client.open(say({"tokens": 300, "pause": 0.005})) as stream:
        first = Shown()
        for frame in stream:
            first.take(frame)
            if len(first.texts.get("reply", "")) > 100:
                break
        late = Shown()
        with client.subscribe(first.task["id"]) as other:
            for frame in other:
                late.take(frame)
        for frame in stream:
            first.take(frame)
    assert late.texts == first.texts
    assert late.texts["reply"].endswith("w299 w300 ")
    assert late.task["status"]["state"] == "TASK_STATE_WORKING"


def test_a_killed_workers_task_has_failed(client: A2aClient, server: Gunicorn) -> None:
    """Its stream is cut; where it goes on, it fails with what was said before."""
    session, shown = new_session(), Shown()
    with client.open(say({"tokens": 2000, "pause": 0.01}, contextId=session)) as stream:
        for _ in range(80):
            frame = stream.next()
            assert frame
            shown.take(frame)
        os.kill(owner_pid(ReadingClient(server, "admin"), session), signal.SIGKILL)
        with pytest.raises(StreamCutError):
            take_all(shown, stream)
    with client.subscribe(shown.task["id"], shown.last_id) as rest:
        for frame in rest:
            shown.take(frame)
    assert shown.states[-1] == "TASK_STATE_FAILED"
    task = client.task(shown.task["id"])
    assert task["metadata"]["error"]["code"] == "worker_lost"
    assert text_of(task["artifacts"][0]) == shown.texts["reply"]
    wait_for(lambda: len(server.worker_pids()) == 2, "both workers are there", 30)


def test_a_message_sent_again_is_the_same_task(client: A2aClient) -> None:
    """The same under the same id is one task; something else under that id is another."""
    message = say("hello")
    assert client.send(message)["id"] == client.send(message)["id"]
    assert client.send({**message, "parts": [{"text": "hi"}]})["id"] != client.send(message)["id"]


def test_a_task_reports_what_it_does(client: A2aClient) -> None:
    """Submitted, at work, with its status lines, and completed with the whole reply."""
    shown = Shown()
    with client.open(say({"status": "busy"}, {"tokens": 2}, metadata={"a": 1})) as stream:
        frames = list(stream)
    for frame in frames:
        shown.take(frame)
    assert shown.states == ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", COMPLETED]
    assert frames[1].data["statusUpdate"]["status"]["message"]["parts"] == [{"text": "busy"}]
    assert [one.data["artifactUpdate"].get("append", False) for one in frames[2:5]] == [
        *(False, True, True)
    ]
    assert frames[4].data["artifactUpdate"]["lastChunk"] is True
    # An event of the turn with two frames is told by the second: who has its id has both.
    assert [one.id for one in frames] == ["1-0", "1-1", "1-2", "1-3", None, "1-4"]
    task = client.task(shown.task["id"])
    assert task["history"][0]["metadata"] == {"a": 1}
    assert "history" not in client.task(shown.task["id"], "?historyLength=0")


def test_who_does_not_wait_finds_the_task_later(client: A2aClient) -> None:
    """It goes on without a reader, in its context; the next message there waits for its turn."""
    session = new_session()
    first = client.send(
        say({"wait": 0.5}, {"text": "one"}, contextId=session), returnImmediately=True
    )
    second = client.send(say("two", contextId=session), returnImmediately=True)
    assert first["status"]["state"] in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
    assert second["status"]["state"] == "TASK_STATE_SUBMITTED"
    for task in (first, second):
        wait_for(lambda: client.task(task["id"])["status"]["state"] == COMPLETED, "it is done", 15)  # noqa: B023 - called here
    assert [text_of(client.task(one["id"])["artifacts"][0]) for one in (first, second)] == [
        *("one", "two")
    ]


def test_questions_are_answered_on_any_worker(client: A2aClient) -> None:
    """A task that asks waits for its answer, which a message to it is; its stream goes on."""
    form = {"prompt": "How many?", "schema": {"type": "integer"}}
    for _ in range(6):
        task = client.send(say({"text": "Well. "}, {"ask": "Which?"}, {"form": form}))
        assert task["status"]["state"] == INPUT_REQUIRED
        assert task["status"]["message"]["parts"] == [{"text": "Which?"}]
        wait_for(lambda: state_of(client, task) == INPUT_REQUIRED, "all workers know", 5)  # noqa: B023 - called here
        task = client.send(say("blue", taskId=task["id"]))
        assert task["status"]["message"]["metadata"] == {"schema": {"type": "integer"}}
        answer = say("", taskId=task["id"], contextId=task["contextId"])
        answer["parts"] = [{"data": 3}]
        shown = Shown()
        with client.open(answer) as stream:
            for frame in stream:
                shown.take(frame)
        assert shown.texts == {"reply": "Well. blue3"}
        assert shown.states == ["TASK_STATE_WORKING", COMPLETED]


def test_a_subscriber_stays_while_its_task_asks(client: A2aClient) -> None:
    """It sees the question, and what follows the answer of another client."""
    task = client.send(say({"ask": "Which?"}, {"text": "!"}))
    shown = Shown()
    with client.subscribe(task["id"]) as stream:
        first = stream.next()
        assert first
        shown.take(first)
        client.send(say("blue", taskId=task["id"]), returnImmediately=True)
        for frame in stream:
            shown.take(frame)
    assert shown.states == [INPUT_REQUIRED, "TASK_STATE_WORKING", COMPLETED]
    assert shown.texts == {"reply": "blue!"}


def test_a_task_is_cancelled_on_any_worker(client: A2aClient, server: Gunicorn) -> None:
    """Its streams end with that state; a second time it is refused."""
    for number in range(6):
        session, shown = new_session(), Shown()
        with client.open(say({"hold": 1}, contextId=session)) as stream:
            wait_observed(server, "started", session)
            task_id = f"{session}.1"
            answer = (
                client.rpc("CancelTask", {"id": task_id}).json["result"]
                if number % 2
                else client.call("POST", f"/a2a/tasks/{task_id}:cancel", {}, headers=VERSION).json
            )
            for frame in stream:
                shown.take(frame)
        assert answer["status"]["state"] == shown.states[-1] == CANCELED
        assert client.refused("POST", f"/tasks/{task_id}:cancel", {}) == (
            400,
            "TASK_NOT_CANCELABLE",
        )


def test_a_client_that_leaves_ends_nothing(client: A2aClient, server: Gunicorn) -> None:
    """A task is cancelled by who says so, and not by a reader that has gone."""
    session = new_session()
    with client.open(say({"wait": 2}, {"text": "done"}, contextId=session)) as stream:
        wait_observed(server, "started", session)
        stream.abort()
    task_id = f"{session}.1"
    wait_for(lambda: client.task(task_id)["status"]["state"] == COMPLETED, "it is done", 15)
    assert observed(server, "cancelled", session) == []
