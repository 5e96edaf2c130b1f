"""How much a tenant may: the rate of its starts by whatever wire, and the readers of a turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from simple_websocket import Client as WebSocket

from tests.support.client import Answer, Client, chat_body, new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.waiting import wait_for
from wsgi_app.limits import Quota, parse_rate
from wsgi_app.store.base import StartCount, StartRate

APP = "tests.support.apps:scripted_app()"
ALLOWED = 5
#: One tenant for each test.
TENANTS = ("wires", "headers", "refused", "retries", "queued", "shared", "one", "two", "readers")
#: A start by each wire.
STARTS: dict[str, dict[str, Any]] = {
    "/chat": {"message": "m"},
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "m"}]},
    "/v1/responses": {"model": "m", "input": "m"},
    "/ai-sdk/chat": {
        "id": "ai",
        "messages": [{"id": "m-1", "role": "user", "parts": [{"type": "text", "text": "m"}]}],
    },
    "/ag-ui": {
        "threadId": "ag",
        "runId": "r",
        "messages": [{"id": "m-1", "role": "user", "content": "m"}],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a Redis and allow few starts a day."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_RATE_LIMIT": f"{ALLOWED}/day",
            "AGENT_TOKENS": ",".join(f"{tenant}-token={tenant}" for tenant in TENANTS),
        }
        with gunicorn(APP, workers=2, threads=16, env=env) as server:
            yield server


def tenant(server: Gunicorn, name: str) -> ReadingClient:
    """A tenant's client."""
    return ReadingClient(server, f"{name}-token")


def quota(answer: Answer) -> tuple[int, int]:
    """The limit and what is left of it, as an answer tells; its time must be within a day."""
    assert 0 < int(answer.headers["RateLimit-Reset"]) <= 86_400
    return int(answer.headers["RateLimit-Limit"]), int(answer.headers["RateLimit-Remaining"])


def spend(client: Client, count: int = ALLOWED) -> None:
    """Start and end so many turns."""
    for _ in range(count):
        assert client.chat_json(new_session()).status == 200


def test_starts_report_what_is_left(server: Gunicorn) -> None:
    """A start's answer carries the limit and what is left; the one too many gets 429 and when."""
    client = tenant(server, "headers")
    left = [quota(client.chat_json(new_session())) for _ in range(ALLOWED)]
    assert left == [(ALLOWED, ALLOWED - 1 - number) for number in range(ALLOWED)]
    session = new_session()
    answer = client.call("POST", f"/chat/{session}", {"message": "m"})
    check_refusal(answer, 429, "rate_limited")
    assert answer.json["details"] == {"limit": ALLOWED, "window_seconds": 86_400}
    assert quota(answer) == (ALLOWED, 0)
    assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"]
    assert client.call("GET", f"/session/{session}").status == 404, "nothing was begun"
    read = client.call("GET", f"/chat/{session}/events")
    assert (read.status, read.headers["RateLimit-Limit"]) == (204, None), "reading is no start"


def test_every_wire_counts_and_refuses_in_its_own_shape(server: Gunicorn) -> None:
    """A start counts once by whatever wire; beyond the limit each says so as its clients expect."""
    client = tenant(server, "wires")
    for left, (path, body) in zip(reversed(range(ALLOWED)), STARTS.items(), strict=False):
        answer = client.call("POST", path, body)
        assert (answer.status, quota(answer)) == (200, (ALLOWED, left)), (path, answer.body)
    refusals = {
        path: client.call("POST", path, {**body, "id": "new", "threadId": "new"})
        if path in ("/ai-sdk/chat", "/ag-ui")
        else client.call("POST", path, body)
        for path, body in STARTS.items()
    }
    for path, answer in refusals.items():
        assert answer.status == 429, (path, answer.body)
        assert quota(answer) == (ALLOWED, 0)
        assert int(answer.headers["Retry-After"]) > 0
    error = refusals["/v1/chat/completions"].json["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limited")
    assert refusals["/v1/responses"].json["error"]["code"] == "rate_limited"
    assert "too many" in refusals["/ai-sdk/chat"].body.decode()
    with_key = {"Authorization": "Bearer wires-token"}
    socket = WebSocket(f"ws://127.0.0.1:{server.port}/agents/ws/chat/w", headers=with_key)
    socket.send(json.dumps({"type": "message", "content": "m"}))
    event = json.loads(socket.receive(timeout=20) or "{}")
    socket.close()
    assert (event["type"], event["code"]) == ("error", "rate_limited")


def test_retry_attaches_uncounted_even_beyond_the_limit(server: Gunicorn) -> None:
    """A request repeated under its Idempotency-Key counts once, and finds its turn at any time."""
    client = tenant(server, "retries")
    session, key = new_session(), {"Idempotency-Key": "k"}
    for _ in range(2 * ALLOWED):
        assert client.chat_json(session, {"text": "once"}, headers=key).json["turn_id"] == "1"
    spend(client, ALLOWED - 1)
    check_refusal(client.chat_json(new_session()), 429, "rate_limited")
    answer = client.chat_json(session, {"text": "once"}, headers=key)
    assert (answer.status, answer.json["reply"]) == (200, "once")
    check_refusal(client.chat_json(session, headers={"Idempotency-Key": "l"}), 429, "rate_limited")


def test_refused_start_costs_nothing(server: Gunicorn) -> None:
    """What is refused for another reason does not count."""
    client = tenant(server, "refused")
    session = new_session()
    with client.chat(session, {"hold": True}) as stream:
        stream.wait_comments(1)
        for _ in range(2 * ALLOWED):
            assert client.chat_json(session).json["code"] == "session_busy"
            assert client.call("POST", f"/chat/{session}", {"message": ""}).status == 422
        client.cancel(session)
    spend(client, ALLOWED - 1)
    check_refusal(client.chat_json(new_session()), 429, "rate_limited")


def test_queued_turns_count(server: Gunicorn) -> None:
    """A turn that waits for its place has been started too."""
    client = tenant(server, "queued")
    session = new_session()
    with ExitStack() as streams:
        streams.enter_context(client.chat(session, {"hold": True})).wait_comments(1)
        for _ in range(ALLOWED - 1):
            queued = client.chat(session, if_busy="enqueue")
            streams.enter_context(queued).wait_comments(1)
        body = chat_body(if_busy="enqueue")
        check_refusal(client.call("POST", f"/chat/{session}", body), 429, "rate_limited")
        client.cancel(session)


def test_tenants_are_counted_not_addresses(server: Gunicorn) -> None:
    """Two tenants behind one address do not count for each other, whatever they forward."""
    for name in ("one", "two"):
        client = tenant(server, name)
        for number in range(ALLOWED):
            headers = {"X-Forwarded-For": f"10.0.0.{number}"}
            assert client.chat_json(new_session(), headers=headers).status == 200
        headers = {"X-Forwarded-For": "10.0.0.99"}
        check_refusal(client.chat_json(new_session(), headers=headers), 429, "rate_limited")


def test_readers_of_a_turn_are_bounded() -> None:
    """One turn has so many readers in a worker; the next gets 429, other sessions theirs."""
    with gunicorn(APP, threads=16, env={"AGENT_MAX_READERS_PER_TURN": "3"}) as single:
        client = ReadingClient(single)
        session = new_session()
        with ExitStack() as streams:
            streams.enter_context(client.chat(session, {"hold": True})).wait_comments(1)
            events = f"/chat/{session}/events"
            for path in (events, f"/events?session=other&session={session}"):
                streams.enter_context(client.stream("GET", path)).wait_comments(1)
            for path in (events, f"/events?session={session}"):
                check_refusal(client.call("GET", path), 429, "too_many_readers")
            assert client.poll(session, "1-0", 20)["running"], "a poll answers at once instead"
            assert client.chat_json(new_session()).status == 200
            client.cancel(session)
        wait_for(lambda: client.call("GET", events).status != 429, "its readers have left")


def test_start_without_the_store_is_refused() -> None:
    """While Redis is away a start is 503 store_unavailable, soon, and counts nothing."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_RATE_LIMIT": f"{ALLOWED}/day"}
        with gunicorn(APP, env=env) as server:
            client = ReadingClient(server)
            spend(client, 1)
            store.kill()
            for _ in range(ALLOWED):
                check_refusal(client.chat_json(new_session()), 503, "store_unavailable")
            with redis_server(port=store.port):
                wait_for(lambda: client.chat_json(new_session()).status == 200, "Redis is back")


@pytest.mark.parametrize(
    # What was before, for how long; what is now, for how long.
    ("counts", "remaining", "wait"),
    [
        ((0, 0.0, 1, 30.0), 9, 1),  # room: no wait, which is told as a second
        ((0, 0.0, 10, 30.0), 0, 31),  # full: once this window leaves
        ((10, 45.0, 5, 45.0), 0, 16),  # 7.5 of ten count; at 30 s five fit beside these five
        ((10, 3.0, 0, 3.0), 10, 1),
        ((20, 60.0, 0, 60.0), 0, 31),
    ],
)
def test_wait_is_until_one_more_fits(
    counts: tuple[int, float, int, float], remaining: int, wait: int
) -> None:
    """The time told is when the sliding window has room for one more."""
    before, before_left, current, current_left = counts
    count = StartCount(
        before=before,
        before_left_seconds=before_left,
        current=current,
        current_left_seconds=current_left,
    )
    told = Quota(count, StartRate(10, 60))
    assert told.headers()["RateLimit-Remaining"] == str(remaining)
    assert abs(told.refusal().retry_after_seconds - wait) <= 1


@pytest.mark.parametrize(
    ("told", "rate"),
    [
        ("60/minute", (60, 60)),
        ("5 per second", (5, 1)),
        (" 100 / 2 hours ", (100, 7200)),
        ("10per 15minutes", (10, 900)),
        ("1/day", (1, 86_400)),
        ("1000/month", (1000, 2_592_000)),
        ("1/2years", (1, 62_208_000)),
    ],
)
def test_rate_is_read_in_all_its_forms(told: str, rate: tuple[int, int]) -> None:
    """A number of starts, ``/`` or ``per``, a number of units or none, and the unit."""
    assert parse_rate(told) == rate
