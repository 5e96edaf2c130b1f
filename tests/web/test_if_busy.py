"""A message to a session that is busy, and bounds on turns and sessions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, Answer, chat_body, new_session
from tests.support.frames import check_turn, types_of
from tests.support.reading import ReadingClient, observed, wait_observed
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.sse import Stream, text_of
from tests.support.waiting import wait_for
from wsgi_app.compat.python import zip_strict


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker with small bounds."""
    env = {
        "AGENT_MAX_QUEUED_TURNS": "2",
        "AGENT_MAX_TURNS_PER_TENANT": "6",
        "AGENT_KEEPALIVE_SECONDS": "0.2",
        "AGENT_TOKENS": "dev=alpha,other=beta,small=gamma",
        "AGENT_MAX_SESSIONS_PER_TENANT": "60",
    }
    with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as server:
        yield ReadingClient(server)


@pytest.fixture
def busy(client: ReadingClient) -> Iterator[tuple[str, Stream]]:
    """A session whose first turn goes on, and the stream of it."""
    session = new_session()
    with client.chat(session, {"text": "first"}, {"hold": 1}) as stream:
        stream.until("token")
        yield session, stream
    client.call("DELETE", f"/session/{session}")


Busy = tuple[str, Stream]


def test_a_busy_session_refuses_by_default(client: ReadingClient, busy: Busy) -> None:
    """`if_busy: reject`, the default, is 409 `session_busy` at once, and harms no one."""
    session, stream = busy
    for fields in ({}, {"if_busy": "reject"}):
        answer = client.call("POST", f"/chat/{session}", chat_body(**fields))
        check_refusal(answer, 409, "session_busy", [session])
    client.cancel(session)
    assert types_of(list(stream)) == ["cancelled"]
    assert client.session(session)["turn_id"] == "1"


def test_queued_turns_run_in_order(client: ReadingClient, busy: Busy) -> None:
    """`enqueue` answers at once with its own number, keeps alive, and sends its own events."""
    session, stream = busy
    queued = [client.chat(session, {"text": f"q{n}"}, if_busy="enqueue") for n in (2, 3)]
    for number, waiting in zip_strict((2, 3), queued):
        assert waiting.status == 200
        assert {k.lower(): v for k, v in waiting.headers.items()}["x-turn-id"] == str(number)
        assert [one.text for one in waiting.wait_comments(3)] == ["connected"] + 2 * ["keep-alive"]
    assert client.session(session)["turn_id"] == "1"
    client.call("POST", f"/chat/{session}/cancel", {"turn_id": "1"})
    assert types_of(list(stream)) == ["cancelled"]
    for number, waiting in zip_strict((2, 3), queued):
        frames = list(waiting)
        check_turn(frames)
        assert frames[0].id == f"{number}-1"
        assert text_of(frames) == f"q{number}"
        waiting.close()
    contents = [message["content"] for message in client.session(session)["messages"]]
    assert contents == ["hi", "first", "hi", "q2", "hi", "q3"]


def test_a_queued_turn_can_be_awaited_as_json(client: ReadingClient, busy: Busy) -> None:
    """JSON mode waits for a queued turn's own end."""
    session, _ = busy
    answers: list[Answer] = []
    body = chat_body({"tell": "turn_id"}, if_busy="enqueue")

    def wait() -> None:
        answers.append(client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON))

    thread = threading.Thread(target=wait)
    thread.start()
    # The newest cursor that there is tells that the turn was taken.
    wait_for(lambda: is_queued(client, session), "the second turn is queued")
    client.call("POST", f"/chat/{session}/cancel", {"turn_id": "1"})
    thread.join(10)
    assert (answers[0].status, answers[0].json["reply"]) == (200, '"2"')


def is_queued(client: ReadingClient, session: str) -> bool:
    """Whether a second turn waits: then its cursor is not above the newest turn's."""
    events = client.poll(session, "2-0", 0)["events"]
    return not events or events[0]["type"] != "gap"


def test_the_queue_is_bounded(client: ReadingClient, busy: Busy) -> None:
    """Beyond AGENT_MAX_QUEUED_TURNS the next one is 429 `queue_full`."""
    session, _ = busy
    waiting = [client.chat(session, if_busy="enqueue") for _ in range(2)]
    refused = client.call("POST", f"/chat/{session}", chat_body(if_busy="enqueue"))
    check_refusal(refused, 429, "queue_full", [session])
    assert client.cancel(session)["turn_id"] == "1"
    for stream in waiting:
        assert types_of(list(stream)) == ["cancelled"]
        stream.close()


def test_a_cancel_ends_queued_turns_too(client: ReadingClient, busy: Busy) -> None:
    """A cancel without a turn's number ends what runs and all that waits, which never starts."""
    session, stream = busy
    waiting = [client.chat(session, if_busy="enqueue") for _ in range(2)]
    assert client.cancel(session) == {"ok": True, "cancelled": True, "turn_id": "1"}
    for one in (stream, *waiting):
        assert types_of(list(one)) == ["cancelled"]
        one.close()
    assert len(observed(client.server, "started", session)) == 1
    assert client.session(session)["state"] == "idle"


def test_a_cancel_may_name_a_queued_turn(client: ReadingClient, busy: Busy) -> None:
    """A cancel that names a turn ends that one alone."""
    session, stream = busy
    with (
        client.chat(session, {"text": "2"}, if_busy="enqueue") as second,
        client.chat(session, {"text": "3"}, if_busy="enqueue") as third,
    ):
        answer = client.call("POST", f"/chat/{session}/cancel", {"turn_id": "2"})
        assert answer.json == {"ok": True, "cancelled": True, "turn_id": "2"}
        assert types_of(list(second)) == ["cancelled"]
        assert client.session(session)["state"] == "running"
        client.call("POST", f"/chat/{session}/cancel", {"turn_id": "1"})
        assert types_of(list(third)) == ["token", "done"]
    assert types_of(list(stream)) == ["cancelled"]


@pytest.mark.parametrize("step", [{"hold": 1}, {"sleep": 1}])
def test_interrupt_ends_what_runs_first(client: ReadingClient, step: dict[str, Any]) -> None:
    """`interrupt` cancels what runs and waits (reason `interrupted`), then starts."""
    session = new_session()
    with (
        client.chat(session, {"text": "1"}, step) as first,
        client.chat(session, {"text": "2"}, if_busy="enqueue") as second,
    ):
        first.until("token")
        with client.chat(session, {"text": "3"}, if_busy="interrupt") as third:
            assert types_of(list(third)) == ["token", "done"]
        for stream in (first, second):
            assert list(stream)[-1].data == {"type": "cancelled", "reason": "interrupted"}
    assert [m["content"] for m in client.session(session)["messages"]] == ["hi", "1", "hi", "3"]


def test_interrupt_of_an_idle_session_just_starts(client: ReadingClient) -> None:
    """Where nothing runs, every `if_busy` starts a turn."""
    session = new_session()
    for if_busy in ("reject", "enqueue", "interrupt"):
        answer = client.chat_json(session, {"text": if_busy}, if_busy=if_busy)
        assert answer.json["reply"] == if_busy


def test_a_tenants_turns_are_bounded(client: ReadingClient) -> None:
    """Beyond AGENT_MAX_TURNS_PER_TENANT 429 `too_many_turns`; other tenants do not notice."""
    sessions = [new_session() for _ in range(6)]
    streams = [client.chat(session, {"hold": 1}) for session in sessions]
    for session in sessions:
        wait_observed(client.server, "started", session)
    refused = client.call("POST", "/chat", chat_body())
    check_refusal(refused, 429, "too_many_turns")
    assert ReadingClient(client.server, "other").chat_json(new_session()).status == 200
    client.cancel(sessions[0])
    assert client.chat_json(new_session()).status == 200
    for session, stream in zip_strict(sessions, streams):
        client.cancel(session)
        stream.close()


def test_turns_that_wait_for_their_users_take_no_place_of_others(client: ReadingClient) -> None:
    """More questions than turns wait, and there is room for a turn, and for the answers."""
    sessions = [new_session() for _ in range(8)]
    with ExitStack() as stack:
        streams = [
            stack.enter_context(client.chat(session, {"ask": "?"}, {"text": "."}))
            for session in sessions
        ]
        asked = [stream.until("input_request")[-1].data["request_id"] for stream in streams]
        assert client.chat_json(new_session()).status == 200
        for session, request_id, stream in zip_strict(sessions, asked, streams):
            answer = {"request_id": request_id, "value": "yes"}
            assert client.call("POST", f"/chat/{session}/input", answer).status == 200
            assert text_of(list(stream)) == "yes."


def test_a_tenants_sessions_are_bounded(client: ReadingClient) -> None:
    """Beyond AGENT_MAX_SESSIONS_PER_TENANT 429 `too_many_sessions`, until one is deleted."""
    small = ReadingClient(client.server, "small")
    sessions = [new_session() for _ in range(60)]
    for session in sessions:
        assert small.chat_json(session).status == 200
    check_refusal(small.call("POST", "/chat", chat_body()), 429, "too_many_sessions")
    assert small.chat_json(sessions[0]).status == 200
    small.call("DELETE", f"/session/{sessions[1]}")
    assert small.chat_json(new_session()).status == 200
