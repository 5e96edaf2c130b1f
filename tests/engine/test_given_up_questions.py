"""Questions that nobody waits for any more, and questions in a row."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, new_session
from tests.support.frames import types_of
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.shared_servers import EXPIRING, SharedServers
from tests.support.sse import Stream
from tests.support.waiting import wait_for

REPETITIONS = 30


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker whose questions soon expire."""
    return ReadingClient(servers.get("tests.support.odd_agents:odd_app()", env=EXPIRING))


def answer_to(client: ReadingClient, session: str, request_id: str, value: object) -> Any:
    """Answer a question."""
    body = {"request_id": request_id, "value": value}
    return client.call("POST", f"/chat/{session}/input", body)


def next_question(stream: Stream) -> str:
    """Read up to the next question and answer its id."""
    request_id: str = stream.until("input_request")[-1].data["request_id"]
    return request_id


def let_pass(seconds: float) -> None:
    """Wait for a time that is part of the rule."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > until, f"{seconds} s have passed", seconds + 10)


def test_a_late_answer_harms_nobody(client: ReadingClient) -> None:
    """An answer that comes when the agent has given up wakes nobody; worker and turn go on."""
    for _ in range(5):
        session = new_session()
        with client.stream("POST", f"/chat/{session}", {"message": "give up"}) as stream:
            request_id = next_question(stream)
            stream.until("token")
            assert answer_to(client, session, request_id, "late").status in (200, 409)
            assert types_of(list(stream)) == ["token", "done"]
        assert client.session(session)["messages"][-1]["content"] == "gave up, went on"
        body = {"message": "fine"}
        other = client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON, seconds=5)
        assert other.json["reply"] == "fine"


@pytest.mark.parametrize("name", ["give up and ask", "ask after expiry"])
def test_a_question_without_a_waiting_agent_takes_no_answer(
    client: ReadingClient, name: str
) -> None:
    """A second after a question was given up or expired, its answer is 409; the next one's is not.

    That the agent may ask again, and gets the next question's answer, is part of it.
    """
    session = new_session()
    with client.stream("POST", f"/chat/{session}", {"message": name}) as stream:
        first = next_question(stream)
        second = next_question(stream)
        assert second != first
        let_pass(1)
        check_refusal(answer_to(client, session, first, "x"), 409, "no_pending_input", [session])
        assert answer_to(client, session, second, "!").status == 200
        assert list(stream)[-1].data["reply"] == "gave up!"


def test_a_given_up_question_is_closed_while_its_turn_is_silent(client: ReadingClient) -> None:
    """A second after giving up, though the turn does nothing any more, the late answer is 409."""
    session = new_session()
    body = {"message": "give up and wait"}
    with client.stream("POST", f"/chat/{session}", body) as stream:
        first = next_question(stream)
        stream.until("token")
        let_pass(1)
        check_refusal(answer_to(client, session, first, "x"), 409, "no_pending_input", [session])


@pytest.mark.parametrize("kind", ["generator", "async"])
def test_no_wait_for_an_answer_counts_as_turn_time(kind: str) -> None:
    """Two questions one right after the other stop the turn's clock, each as long as it waits."""
    env = {
        "AGENT_TURN_TIMEOUT_SECONDS": "1.5",
        "AGENT_MAX_TURNS_PER_TENANT": "100",
        "AGENT_RATE_LIMIT": "1000/minute",
    }
    with gunicorn("tests.support.apps:scripted_app()", threads=16, env=env) as server:
        client = ReadingClient(server)
        sessions = [new_session() for _ in range(REPETITIONS)]
        for session in sessions:
            asked = client.chat_json(
                session, {"ask": "1?"}, {"ask": "2?"}, kind=kind, on_disconnect="continue"
            )
            check_refusal(asked, 409, "input_required")
            answer_to(client, session, asked.json["details"]["request_id"], "a")
        let_pass(2)
        for session in sessions:
            events = client.poll(session, "0-0", 0)["events"]
            assert [event["type"] for event in events][-1] == "input_request", events
            answer_to(client, session, events[-1]["request_id"], "b")
        for session in sessions:
            client.wait_idle(session)
            assert client.session(session)["messages"][-1]["content"] == "ab"
