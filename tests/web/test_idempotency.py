"""A request that is sent again under its Idempotency-Key finds the turn that it started."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, Answer, chat_body, new_session
from tests.support.frames import check_turn, types_of
from tests.support.reading import ReadingClient, observed
from tests.support.refusals import check_refusal
from tests.support.shared_servers import SharedServers
from tests.support.sse import Stream, text_of


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker."""
    return ReadingClient(servers.get())


def send(
    client: ReadingClient, key: str, path: str, body: dict[str, Any], last: str | None = None
) -> Stream:
    """Send a chat request under a key."""
    headers = {"Idempotency-Key": key} | ({} if last is None else {"Last-Event-ID": last})
    return client.stream("POST", path, body, headers)


def send_json(client: ReadingClient, key: str, path: str, body: dict[str, Any]) -> Answer:
    """The same in JSON mode."""
    return client.call("POST", path, body, headers={**WANTS_JSON, "Idempotency-Key": key})


def test_a_repeat_attaches_to_the_running_turn(client: ReadingClient) -> None:
    """The same key joins the running turn from its first event, or after the last one seen."""
    session = new_session()
    path, body = f"/chat/{session}", chat_body({"text": "a"}, {"text": "b"}, {"wait": 0.5})
    with send(client, "k", path, body) as first:
        first.until("token")
        with send(client, "k", path, body) as again, send(client, "k", path, body, "1-1") as rest:
            frames = list(again)
            check_turn(frames)
            assert types_of(frames) == ["token", "token", "done"]
            assert [frame.id for frame in rest] == ["1-2", "1-3"]
        assert types_of(list(first)) == ["token", "done"]
    assert len(observed(client.server, "started", session)) == 1


def test_a_repeat_replays_the_finished_turn(client: ReadingClient) -> None:
    """After the end, and after later turns, the same key brings the same events again."""
    session = new_session()
    path, body = f"/chat/{session}", chat_body({"text": "once"})
    with send(client, "k", path, body) as stream:
        first = list(stream)
    client.chat_json(session, {"text": "later"})
    for last, expected in ((None, first), ("1-1", first[1:]), ("1-2", [])):
        with send(client, "k", path, body, last) as stream:
            assert {k.lower(): v for k, v in stream.headers.items()}["x-turn-id"] == "1"
            assert [(f.id, f.text) for f in stream] == [(f.id, f.text) for f in expected]
    assert client.session(session)["turn_id"] == "2"


def test_a_repeat_in_json_mode_gets_the_same_answer(client: ReadingClient) -> None:
    """JSON mode repeats the answer, a failure's too, and joins a turn that still runs."""
    session = new_session()
    path, body = f"/chat/{session}", chat_body({"text": "x"}, {"wait": 0.3}, {"usage": 1})
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(send_json(client, "k", path, body)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    answers.append(send_json(client, "k", path, body))
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert len(observed(client.server, "started", session)) == 1
    failing = chat_body({"raise": "UpstreamError"})
    failures = [send_json(client, "k2", path, failing) for _ in range(2)]
    for failure in failures:
        check_refusal(failure, 502, "upstream_error")
    assert failures[0].body == failures[1].body


def test_the_order_of_fields_is_no_difference(client: ReadingClient) -> None:
    """A repeat may write the same JSON in another order."""
    path = f"/chat/{new_session()}"
    body = chat_body({"text": "x"})
    turned = dict(reversed(list(body.items())))
    assert list(turned) != list(body)
    assert send_json(client, "k", path, body).json == send_json(client, "k", path, turned).json


def test_a_key_with_another_body_is_refused(client: ReadingClient) -> None:
    """The same key with another body is 422 `idempotency_key_reused`, running or finished."""
    session = new_session()
    path = f"/chat/{session}"
    with send(client, "k", path, chat_body({"text": "x"}, {"hold": 1})) as stream:
        stream.until("token")
        answer = send_json(client, "k", path, chat_body({"text": "y"}))
        check_refusal(answer, 422, "idempotency_key_reused", [session])
        client.cancel(session)
        assert types_of(list(stream)) == ["cancelled"]
    again = send_json(client, "k", path, chat_body({"text": "x"}, if_busy="enqueue"))
    check_refusal(again, 422, "idempotency_key_reused", [session])


def test_keys_belong_to_their_session(client: ReadingClient) -> None:
    """Another session may use the same key for another turn."""
    replies = [
        send_json(client, "k", f"/chat/{new_session()}", chat_body({"text": text})).json["reply"]
        for text in ("one", "two")
    ]
    assert replies == ["one", "two"]


def test_a_key_without_a_session_is_the_tenants(client: ReadingClient) -> None:
    """`POST /chat` without a session finds the session that the key's first request made."""
    key, body = new_session(), chat_body({"text": "x"})
    answers = [send_json(client, key, "/chat", body).json for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["turn_id"] == "1"
    other = send_json(client, key, "/chat", chat_body({"text": "y"}))
    check_refusal(other, 422, "idempotency_key_reused", [answers[0]["session_id"]])
    assert send_json(client, new_session(), "/chat", body).json != answers[0]


def test_a_refused_request_does_not_use_its_key_up(client: ReadingClient) -> None:
    """After a refusal the same key starts a turn, even with another body."""
    session = new_session()
    path = f"/chat/{session}"
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        check_refusal(send_json(client, "k", path, chat_body()), 409, "session_busy", [session])
        client.cancel(session)
    check_refusal(send_json(client, "k", path, {"message": ""}), 422, "invalid_request")
    check_refusal(send_json(client, "k", f"{path}?batch_ms=x", chat_body()), 422, "invalid_request")
    assert send_json(client, "k", path, chat_body({"text": "now"})).json["reply"] == "now"


def test_a_busy_session_lets_a_repeat_in(client: ReadingClient) -> None:
    """A repeat is no second message: it attaches where a new one would be `session_busy`."""
    session = new_session()
    path, body = f"/chat/{session}", chat_body({"text": "a"}, {"wait": 0.3})
    with send(client, "k", path, body) as first, send(client, "k", path, body) as second:
        assert text_of(list(first)) == text_of(list(second)) == "a"


@pytest.mark.slow
def test_the_newest_thousand_keys_are_kept(client: ReadingClient) -> None:
    """Of a session's keys the newest 1,000 are known; an older one starts a new turn."""
    path = f"/chat/{new_session()}"
    for number in range(1001):
        assert send_json(client, f"k{number}", path, chat_body()).json["turn_id"] == str(number + 1)
    assert send_json(client, "k1", path, chat_body()).json["turn_id"] == "2"
    assert send_json(client, "k0", path, chat_body()).json["turn_id"] == "1002"
