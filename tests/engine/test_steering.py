"""What a user says to a turn while it runs: in the turn, or told that it is not; never lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, Answer, new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.service import Service, owner_pid, service
from tests.support.sockets import connected
from tests.support.sse import Stream, text_of
from tests.support.waiting import wait_for
from wsgi_app import steerable
from wsgi_app.engine.turn.event_log import EventLog
from wsgi_app.engine.turn.steering import Steering
from wsgi_app.errors import RequestError
from wsgi_app.events import EventId
from wsgi_app.store.base import Fence, SessionKey
from wsgi_app.store.memory import MemoryStore

APP = "tests.support.steered_app:app()"
#: Messages that meet their turn's end.
ROUNDS = 40
MOST = 20
OPEN: list[Stream] = []
MOMENTS = random.Random(19)  # noqa: S311 - moments are no secrets


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """Two hosts of one worker each, on one Redis."""
    with service(APP, hosts=2, workers=1, env={"AGENT_LEASE_SECONDS": "2"}) as running:
        yield running


@pytest.fixture(autouse=True)
def _streams() -> Iterator[None]:
    """Close the streams that a test has begun."""
    yield
    while OPEN:
        OPEN.pop().close()


def begin(client: ReadingClient, message: str = "listen", **fields: Any) -> tuple[str, Stream]:
    """A turn that has begun to answer, and its stream."""
    session = new_session()
    stream = client.stream("POST", f"/chat/{session}", {"message": message, **fields})
    OPEN.append(stream)
    stream.until("token")
    return session, stream


def steer(client: ReadingClient, session: str, message: str, key: str = "") -> Answer:
    """Say something to a session's turn."""
    headers = {"Idempotency-Key": key} if key else None
    return client.call("POST", f"/chat/{session}/steer", {"message": message}, headers=headers)


def messages(client: ReadingClient, session: str) -> list[str]:
    """The texts of a session's history."""
    return [message["content"] for message in client.session(session)["messages"]]


@pytest.mark.parametrize("place", [0, 1], ids=["its worker", "the other worker"])
def test_a_message_reaches_the_turn(shared: Service, place: int) -> None:
    """From either worker: the sender has the event's id, readers the event, the agent the text."""
    session, stream = begin(shared.direct[0])
    answer = steer(shared.direct[place], session, "go left")
    assert answer.status == 200, answer.json
    assert answer.json["turn_id"] == "1"
    frames = stream.until("token")
    assert steer(shared.direct[place], session, "stop").status == 200
    frames += list(stream)
    told = [frame for frame in frames if frame.data["type"] == "steered"]
    assert [(one.data["content"], one.data["status"]) for one in told] == [
        *(("go left", "waiting"), ("go left", "taken")),
        *(("stop", "waiting"), ("stop", "taken")),
    ]
    assert told[0].id == answer.json["event_id"]
    assert told[0].data["steer_id"] == answer.json["steer_id"]
    assert text_of(frames) == "[go left] [stop] over"
    assert messages(shared.direct[1], session) == [
        *("listen", "begun ", "go left", "[go left] ", "stop", "[stop] over")
    ]


def test_messages_keep_their_order(shared: Service) -> None:
    """Many, from both workers, one after the other: the agent gets them as they were sent."""
    session, stream = begin(shared.direct[0])
    said = [f"m{number}" for number in range(10)]
    for number, text in enumerate(said):
        assert steer(shared.direct[number % 2], session, text).status == 200
    assert steer(shared.direct[1], session, "stop").status == 200
    assert text_of(list(stream)) == "".join(f"[{text}] " for text in [*said, "stop"]) + "over"


def test_a_repeated_message_is_one(shared: Service) -> None:
    """Under one Idempotency-Key, on both workers, it reaches the turn once."""
    session, stream = begin(shared.direct[0])
    answers = [steer(shared.direct[place], session, "once", "k") for place in (0, 1, 1)]
    assert [answer.json["event_id"] for answer in answers] == [answers[0].json["event_id"]] * 3
    steer(shared.direct[1], session, "stop")
    assert text_of(list(stream)) == "[once] [stop] over"


@pytest.mark.parametrize("place", [0, 1], ids=["its worker", "the other worker"])
def test_if_busy_steers_or_begins(shared: Service, place: int) -> None:
    """`if_busy: steer` begins a turn where none runs, and else reads the one that it steers."""
    client, session = shared.direct[place], new_session()
    body = {"message": "listen", "if_busy": "steer"}
    with shared.direct[0].stream("POST", f"/chat/{session}", body) as first:
        first.until("token")
        path, body = f"/chat/{session}", {"message": "stop", "if_busy": "steer"}
        with client.stream("POST", path, body) as second:
            frames = list(second)
        assert [frame.data["type"] for frame in frames[:2]] == ["steered", "steered"]
        assert frames[0].data["content"] == "stop"
        assert frames[-1].data["reply"] == "begun [stop] over"
        assert text_of(frames) == "[stop] over"
    answer = client.call("POST", f"/chat/{session}", {**body, "message": "1"}, headers=WANTS_JSON)
    assert (answer.status, answer.json["turn_id"]) == (200, "2")


def test_a_repeated_request_that_steered_attaches(shared: Service) -> None:
    """The retry of `if_busy: steer` finds its turn, also when that has ended: none is begun."""
    session, _stream = begin(shared.direct[0])
    path, body = f"/chat/{session}", {"message": "stop", "if_busy": "steer"}
    headers = {**WANTS_JSON, "Idempotency-Key": "k"}
    replies = [shared.direct[1].call("POST", path, body, headers=headers) for _ in range(2)]
    assert [reply.json["turn_id"] for reply in replies] == ["1", "1"]
    assert [reply.json["reply"] for reply in replies] == ["begun [stop] over"] * 2


@pytest.mark.parametrize("place", [0, 1], ids=["its worker", "the other worker"])
def test_a_websocket_steers(shared: Service, place: int) -> None:
    """A frame of its own, and `if_busy`: the turn's events follow from there on, refusals too."""
    session, _ = begin(shared.direct[0])
    with connected(shared.hosts[place], session) as client:
        client.say(type="steer", content="one")
        assert client.until("token")[-1]["content"] == "[one] "
        client.say(type="message", content="stop", if_busy="steer")
        assert client.until("done")[-1]["reply"] == "begun [one] [stop] over"
        client.say(type="steer", content="late")
        assert client.until("error")[-1]["code"] == "not_steerable"


def test_who_cannot_be_steered_says_so(shared: Service) -> None:
    """An unknown session, an ended turn, another tenant's, an agent that does not listen: 409."""
    session, stream = begin(shared.direct[0], "1")
    assert stream.until("done")
    deaf = ReadingClient(shared.hosts[0], prefix="/deaf")
    other, _waiting = begin(deaf)
    for client, name in (
        (shared.direct[1], session),
        (shared.direct[0], new_session()),
        (deaf, other),
    ):
        check_refusal(steer(client, name, "hi"), 409, "not_steerable", [name])
    again = ReadingClient(shared.hosts[1], prefix="/deaf")
    refused = again.call("POST", f"/chat/{other}", {"message": "hi", "if_busy": "steer"})
    check_refusal(refused, 409, "not_steerable", [other])
    deaf.cancel(other)


@pytest.mark.parametrize("place", [0, 1], ids=["its worker", "the other worker"])
def test_messages_are_bounded(shared: Service, place: int) -> None:
    """A turn takes twenty, and each is bounded as the first message is."""
    session, _stream = begin(shared.direct[0])
    client = shared.direct[place]
    assert steer(client, session, "").status == 422
    assert steer(client, session, "x" * 32_001).status == 422
    answers = [steer(client, session, f"m{number}").status for number in range(MOST)]
    assert answers == [200] * MOST
    check_refusal(steer(client, session, "more"), 429, "queue_full", [session])
    shared.direct[0].cancel(session)


def test_a_message_that_meets_the_end_is_in_the_turn_or_refused(shared: Service) -> None:
    """Sent at random moments around the turn's end: answered by it, or 409 and nowhere."""
    outcomes: set[int] = set()
    for number in range(ROUNDS):
        session, stream = begin(shared.direct[number % 2], "60")
        time.sleep(MOMENTS.uniform(0.02, 0.08))
        answer = steer(shared.direct[1], session, "late")
        frames = list(stream)
        outcomes.add(answer.status)
        reply = frames[-1].data["reply"]
        said = messages(shared.direct[0], session)
        if answer.status == 200:
            assert "late" in reply, frames
            assert said.count("late") == 1
        else:
            check_refusal(answer, 409, "not_steerable", [session])
            assert "late" not in reply + "".join(said)
    assert outcomes == {200, 409}, "the moments are those of the end"


def test_no_message_meets_the_end_of_two(shared: Service) -> None:
    """`if_busy: steer` around a turn's end: the message is answered once, by it or by the next."""
    for number in range(ROUNDS // 2):
        session, _stream = begin(shared.direct[number % 2], "60")
        time.sleep(MOMENTS.uniform(0.02, 0.08))
        body = {"message": "1", "if_busy": "steer"}
        answer = shared.direct[1].call("POST", f"/chat/{session}", body, headers=WANTS_JSON)
        assert answer.status == 200, answer.json
        assert messages(shared.direct[0], session).count("1") == 1


@pytest.mark.parametrize("message", ["listen", "deaf"])
def test_a_cancelled_turn_keeps_what_was_said(shared: Service, message: str) -> None:
    """Taken by the agent or not, it is in the history of a turn that was cancelled then."""
    session, stream = begin(shared.direct[0], message)
    assert steer(shared.direct[1], session, "by the way").status == 200
    if message == "listen":
        stream.until("token")
    assert shared.direct[1].cancel(session)["cancelled"]
    assert "by the way" in messages(shared.direct[0], session)
    assert steer(shared.direct[1], session, "too late").status == 409


def test_a_killed_worker_loses_nothing_that_was_taken(shared: Service) -> None:
    """Who was told that the turn has it finds it in the history when the worker is killed."""
    for place in (0, 1):
        session, _stream = begin(shared.direct[0], "deaf")
        pid = owner_pid(shared.direct[1], session)
        assert steer(shared.direct[place], session, "remember").status == 200
        signal_to(pid)
        wait_for(
            lambda session=session: shared.direct[1].session(session)["state"] == "idle",  # type: ignore[misc] # the loop's own
            "the turn is ended",
        )
        assert messages(shared.direct[1], session)[-1] == "remember"
        wait_for(lambda: bool(shared.hosts[0].worker_pids()), "another worker is there")


def signal_to(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process."""
    os.kill(pid, number)


def test_a_worker_that_stands_still_takes_nothing_later(shared: Service) -> None:
    """Who was told that a standing worker did not take it is right when that goes on."""
    session, _stream = begin(shared.direct[0])
    pid = owner_pid(shared.direct[1], session)
    signal_to(pid, signal.SIGSTOP)
    try:
        answer = steer(shared.direct[1], session, "hello?")
    finally:
        signal_to(pid, signal.SIGCONT)
    assert answer.status == 409
    assert steer(shared.direct[1], session, "stop").status in (200, 409)
    assert "hello?" not in "".join(messages(shared.direct[1], session))


# -- one turn's own side


def test_the_last_look_closes_the_turn() -> None:
    """An agent that may end is sent nothing more; one that may not takes what waits, and more."""
    log = EventLog(1)
    hurried: list[Fence] = []
    fence = Fence(SessionKey("tenant", "s"), 1, "run")
    agent = steerable(lambda _: None)
    steering = Steering(fence, MemoryStore(), log, hurried.append, agent, goes_on=False)
    first = steering.offer("a", "one")
    assert (str(first), steering.offer("a", "again")) == ("1-1", first)
    assert not steering.may_end()
    assert str(steering.offer("b", "two")) == "1-2"
    assert steering.take() == ["one", "two"]
    assert steering.may_end()
    with pytest.raises(RequestError, match="not_steerable"):
        steering.offer("c", "three")
    assert steering.offer("b", "two") == EventId(1, 2), "what it has it has"
    assert len(hurried) == 2


def test_the_last_take_closes_the_turn() -> None:
    """What comes behind it is refused, as is what a sealed log takes no more."""
    fence = Fence(SessionKey("tenant", "s"), 1, "run")
    ways: tuple[Callable[[Steering, EventLog], object], ...] = (
        lambda steering, _: steering.take(last=True),
        lambda steering, _: steering.close(),
        lambda _, log: log.seal(),
    )
    for close in ways:
        log = EventLog(1)
        agent = steerable(lambda _: None)
        steering = Steering(fence, MemoryStore(), log, lambda _: None, agent, goes_on=False)
        close(steering, log)
        with pytest.raises(RequestError, match="not_steerable"):
            steering.offer("a", "late")
        assert log.last_seq == 0
