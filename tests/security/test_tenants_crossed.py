"""One tenant asks for another's sessions, by every route and wire there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from simple_websocket import Client as WebSocket

from tests.security.routes import (
    CLOSED,
    Head,
    bearer,
    opened,
    read_all,
    send,
    unknown_target,
    visible,
)
from tests.security.samples import Target
from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Server
from wsgi_app.wires.openai.ids import ResponseRef

PRIVATE = "what alpha alone may know"


@contextmanager
def asking(alpha: ReadingClient) -> Iterator[Target]:
    """A session of alpha's that has told something and waits for an answer."""
    session = new_session()
    steps = ({"text": PRIVATE}, {"ask": PRIVATE})
    with alpha.chat(session, *steps, on_disconnect="continue") as stream:
        request_id = stream.until("input_request")[-1].data["request_id"]
    yield Target(session, request_id)
    assert alpha.call("DELETE", f"/session/{session}").json["deleted"] is True


@contextmanager
def idle(alpha: ReadingClient) -> Iterator[Target]:
    """A session of alpha's that has told something."""
    session = new_session()
    alpha.chat_json(session, {"text": PRIVATE})
    yield Target(session)
    assert alpha.call("DELETE", f"/session/{session}").json["deleted"] is True


def described(alpha: ReadingClient, target: Target) -> Any:
    """All that alpha's session holds, but for when it was touched last."""
    events = alpha.poll(target.session, "0-0", 0)
    return {**alpha.session(target.session), "updated_at": ""}, events


def ask_as_beta(server: Server, name: str, target: Target) -> Head:
    """Send a route's request and read the whole answer."""
    with opened(server, name, target, bearer("beta-token")) as answer:
        return Head(answer.status, answer.msg, read_all(answer))


@pytest.mark.parametrize("state", [idle, asking])
@pytest.mark.parametrize("name", CLOSED)
def test_another_tenants_session_is_an_unknown_one(
    alpha: ReadingClient, name: str, state: Any
) -> None:
    """The answer tells nothing, and does nothing to the session."""
    with state(alpha) as target:
        before = described(alpha, target)
        unknown = unknown_target()
        answers = [(ask_as_beta(alpha.server, name, one), one) for one in (target, unknown)]
        assert PRIVATE.encode() not in answers[0][0].body
        assert visible(*answers[0]) == visible(*answers[1])
        assert described(alpha, target) == before


@pytest.mark.parametrize("name", CLOSED)
def test_without_a_token_every_closed_route_is_closed(alpha: ReadingClient, name: str) -> None:
    """401 in the route's own wire, whatever is sent instead of a token, and nothing is done."""
    with idle(alpha) as target:
        before = described(alpha, target)
        for headers in ({}, bearer("gamma-token"), {"Cookie": "token=alpha-token"}):
            answer = send(alpha.server, name, target, headers)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.code in ("unauthorized", "")
            assert PRIVATE.encode() not in answer.body
        for query in ("token=alpha-token", "access_token=alpha-token", "ticket=alpha-token"):
            assert send(alpha.server, name, target, query=query).status == 401, query
        assert described(alpha, target) == before


def test_a_websocket_sees_its_own_tenants_sessions(
    alpha: ReadingClient, beta: ReadingClient
) -> None:
    """Nothing said on it reaches another tenant's session of the same name."""
    with asking(alpha) as target:
        before = described(alpha, target)
        url = f"ws://127.0.0.1:{beta.server.port}/agents/ws/chat/{target.session}"
        with closing(WebSocket(url, headers=bearer("beta-token"))) as connection:
            for said in (
                {"type": "resume", "last_event_id": "0-0"},
                {"type": "resume"},
                {"type": "cancel"},
                {"type": "cancel", "turn_id": "1"},
                {"type": "input", "request_id": target.request_id, "value": "forged"},
            ):
                connection.send(json.dumps(said))
            refusal = json.loads(connection.receive(timeout=15) or "null")
            assert refusal["code"] == "no_pending_input"
            connection.send(json.dumps({"type": "message", "content": "mine"}))
            token = json.loads(connection.receive(timeout=15) or "null")
            assert (token["id"], token["content"]) == ("1-1", "mine")
        assert described(alpha, target) == before


def test_many_sessions_in_one_stream_are_the_tenants_own(
    alpha: ReadingClient, beta: ReadingClient
) -> None:
    """A list with another tenant's session in it shows one's own alone."""
    mine = new_session()
    beta.chat_json(mine, {"text": "for beta"})
    with idle(alpha) as target:
        path = f"/events?session={target.session}&session={mine}&last_event_id=0-0,0-0"
        with beta.stream("GET", path) as stream:
            frames = stream.until("done")
    assert {frame.data["session_id"] for frame in frames} == {mine}


def test_ids_of_alphas_answers_open_nothing(alpha: ReadingClient, beta: ReadingClient) -> None:
    """What alpha was answered by a foreign wire is not found by beta, though it is no secret."""
    body = {"model": "agent", "input": PRIVATE}
    response = alpha.call("POST", "/v1/responses", body).json["id"]
    for method, path in (
        ("GET", f"/v1/responses/{response}"),
        ("GET", f"/v1/responses/{response}?stream=true"),
        ("POST", f"/v1/responses/{response}/cancel"),
        ("DELETE", f"/v1/responses/{response}"),
    ):
        answer = beta.call(method, path)
        assert answer.status == 404, path
        assert PRIVATE.encode() not in answer.body
    again = beta.call("POST", "/v1/responses", {**body, "previous_response_id": response})
    assert again.status == 400
    target = Target(ResponseRef.parse(response).session_id)
    before = described(alpha, target)
    # The same first words name a session of the same id, which is beta's own.
    retry = {"X-Stainless-Retry-Count": "1"}
    own = beta.call("POST", "/v1/responses", body, headers=retry).json["id"]
    assert ResponseRef.parse(own).session_id == target.session
    assert described(alpha, target) == before
