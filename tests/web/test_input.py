"""Questions that an agent asks in mid-turn, and their answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.frames import check_turn, run_turn, types_of
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.sse import Stream, text_of
from tests.support.waiting import wait_for

KINDS = ["generator", "async"]


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker whose turns are short, but for the time of their questions."""
    env = {"AGENT_TURN_TIMEOUT_SECONDS": "1", "AGENT_ORPHAN_SECONDS": "0.5"}
    with gunicorn("tests.support.apps:scripted_app()", threads=16, env=env) as server:
        yield ReadingClient(server)


def answer_to(client: ReadingClient, session: str, request_id: str, value: object) -> Any:
    """Answer a question."""
    body = {"request_id": request_id, "value": value}
    return client.call("POST", f"/chat/{session}/input", body)


def wait_question(stream: Stream) -> str:
    """Read up to the question and answer its id."""
    request_id: str = stream.until("input_request")[-1].data["request_id"]
    return request_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["yes", "", 5, 1.5, True, None, [1, "a"], {"a": {"b": []}}])
def test_an_answer_of_any_json_reaches_the_agent(
    client: ReadingClient, kind: str, value: object
) -> None:
    """The turn asks, waits, and goes on with the very value that was posted."""
    session = new_session()
    with client.chat(session, {"ask": "Really?"}, {"text": "!"}, kind=kind) as stream:
        frames = stream.until("input_request")
        question = frames[-1].data
        assert set(question) == {"type", "request_id", "prompt"}
        assert question["prompt"] == "Really?"
        assert client.session(session)["state"] == "running"
        answer = answer_to(client, session, question["request_id"], value)
        assert (answer.status, answer.json) == (200, {"ok": True})
        frames += list(stream)
    check_turn(frames)
    assert text_of(frames) == f"{value}!"


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_may_ask_again(client: ReadingClient, kind: str) -> None:
    """Each question has an id of its own, and only the pending one can be answered."""
    session = new_session()
    with client.chat(session, {"ask": "One?"}, {"ask": "Two?"}, kind=kind) as stream:
        first = wait_question(stream)
        answer_to(client, session, first, "a")
        second = wait_question(stream)
        assert second != first
        check_refusal(answer_to(client, session, first, "x"), 409, "no_pending_input", [session])
        answer_to(client, session, second, "b")
        assert list(stream)[-1].data["reply"] == "ab"


def test_only_a_pending_question_takes_an_answer(client: ReadingClient) -> None:
    """Without a question, with another's id, twice, or after the end: 409 `no_pending_input`."""
    session = new_session()

    def check_refused(request_id: str) -> None:
        refused = answer_to(client, session, request_id, 1)
        check_refusal(refused, 409, "no_pending_input", [session])

    check_refused("none")
    steps: list[dict[str, Any]] = [{"text": "x"}, {"wait": 0.2}, {"ask": "Really?"}, {"wait": 0.2}]
    with client.chat(session, *steps) as stream:
        stream.until("token")
        check_refused("none")
        request_id = wait_question(stream)
        check_refused(request_id + "x")
        answer_to(client, session, request_id, 1)
        check_refused(request_id)
        assert types_of(list(stream)) == ["token", "done"]
    check_refused(request_id)


def test_a_question_counts_neither_as_turn_time_nor_as_orphan(client: ReadingClient) -> None:
    """A turn that waits for its user outlives turn timeout and orphan time without readers."""
    session = new_session()
    with client.chat(session, {"ask": "Really?"}, {"text": " after all"}) as stream:
        request_id = wait_question(stream)
        with pytest.raises(TimeoutError):
            stream.next(seconds=1.5)
    left_at = time.monotonic()
    wait_for(lambda: time.monotonic() > left_at + 1, "twice the orphan time has passed")
    assert client.session(session)["state"] == "running"
    answer_to(client, session, request_id, "yes")
    client.wait_idle(session)
    assert client.session(session)["messages"][-1]["content"] == "yes after all"


def test_the_clock_goes_on_after_the_answer(client: ReadingClient) -> None:
    """Once answered, the rest of the turn's time is what it was."""
    session = new_session()
    with client.chat(session, {"ask": "Really?"}, {"hold": 1}) as stream:
        request_id = wait_question(stream)
        with pytest.raises(TimeoutError):
            stream.next(seconds=0.7)
        answer_to(client, session, request_id, "yes")
        assert list(stream)[-1].data["code"] == "turn_timeout"


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_does_not_come_for_ever(kind: str) -> None:
    """After AGENT_INPUT_TIMEOUT_SECONDS without an answer the turn ends with `turn_timeout`."""
    env = {"AGENT_INPUT_TIMEOUT_SECONDS": "0.3"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        client = ReadingClient(server)
        session = new_session()
        frames = run_turn(client, {"ask": "Really?"}, kind=kind, session=session)
        assert types_of(frames) == ["input_request", "error"]
        assert frames[-1].data["code"] == "turn_timeout"
        late = answer_to(client, session, frames[0].data["request_id"], 1)
        check_refusal(late, 409, "no_pending_input", [session])


def test_json_mode_hands_the_question_over(client: ReadingClient) -> None:
    """A question ends the wait with 409 `input_required`; the turn goes on and can be answered."""
    session = new_session()
    answer = client.chat_json(session, {"ask": "Really?"}, {"text": "!"}, on_disconnect="continue")
    check_refusal(answer, 409, "input_required")
    details = answer.json["details"]
    assert set(details) == {"request_id", "prompt", "turn_id"}
    assert (details["prompt"], details["turn_id"]) == ("Really?", "1")
    assert client.session(session)["state"] == "running"
    answer_to(client, session, details["request_id"], "yes")
    client.wait_idle(session)
    assert client.session(session)["messages"][-1]["content"] == "yes!"


def test_a_question_can_be_polled_for(client: ReadingClient) -> None:
    """A question comes at once to who polls, attaches or replays."""
    session = new_session()
    with client.chat(session, {"ask": "Really?"}) as stream:
        request_id = wait_question(stream)
        polled = client.poll(session, "0-0", 5)
        assert [event["type"] for event in polled["events"]] == ["input_request"]
        assert polled["running"] is True
        with client.events(session) as attached:
            assert wait_question(attached) == request_id
        answer_to(client, session, request_id, "yes")
        wait_for(lambda: not client.poll(session, "1-2", 1)["running"], "the turn has ended")


def test_repeated_json_request_gets_the_answer_and_not_the_old_question(
    client: ReadingClient,
) -> None:
    """Under its Idempotency-Key a JSON request that was told of a question gets the turn's end."""
    session = new_session()
    headers = {"Idempotency-Key": "k"}
    first = client.chat_json(session, {"ask": "Really?"}, {"text": "!"}, headers=headers)
    assert (first.status, first.json["code"]) == (409, "input_required")
    request_id = first.json["details"]["request_id"]
    assert answer_to(client, session, request_id, "yes").status == 200
    again = client.chat_json(session, {"ask": "Really?"}, {"text": "!"}, headers=headers)
    assert (again.status, again.json["reply"]) == (200, "yes!")
    third = client.chat_json(session, {"ask": "Really?"}, {"text": "!"}, headers=headers)
    assert third.json == again.json
