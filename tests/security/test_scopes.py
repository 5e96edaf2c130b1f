"""Scopes: what a token is for, on every route and in every wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from simple_websocket import Client as WebSocket

from tests.security.routes import CLOSED, ROUTES, bearer, send
from tests.support.client import Client, new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Server, gunicorn
from wsgi_app.auth import Principal, demand_scope
from wsgi_app.errors import RequestError
from wsgi_app.tokens import DEFAULT_SCOPES, SCOPES

#: A token for each set of scopes: all but one, one alone, and the default.
TOKENS = {
    **{f"no-{scope}": SCOPES - {scope} for scope in sorted(SCOPES)},
    **{f"only-{scope}": frozenset({scope}) for scope in sorted(SCOPES)},
    "default": DEFAULT_SCOPES,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One worker whose tokens have different scopes."""
    lines = [
        f"{token}=acme" + (f" scopes={'+'.join(scopes)}" if token != "default" else "")
        for token, scopes in TOKENS.items()
    ]
    env = {"AGENT_TOKENS": ",".join(lines), "AGENT_MAX_TURNS_PER_TENANT": "1000"}
    env["AGENT_METRICS_LOCAL"] = "1"
    with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as server:
        yield server


@pytest.mark.parametrize("name", CLOSED)
def test_a_route_needs_its_scope(server: Server, name: str) -> None:
    """Who lacks it is told which, in the route's own wire; nobody else is refused."""
    needed = ROUTES[name].scopes or ()
    for token, scopes in TOKENS.items():
        answer = send(server, name, headers=bearer(token))
        missing = [scope for scope in needed if scope not in scopes]
        if not missing:
            assert answer.status not in (401, 403), (token, answer.body)
            continue
        assert answer.status == 403, (token, answer.body)
        assert answer.code in ("forbidden", "")
        assert f"the scope {missing[0]}." in answer.body.decode()
        challenge = f'Bearer error="insufficient_scope", scope="{missing[0]}"'
        assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("name", [name for name in ROUTES if name not in CLOSED])
def test_an_open_route_needs_none(server: Server, name: str) -> None:
    """What is open asks for no token."""
    assert send(server, name).status == 200


def test_admin_is_not_among_the_default() -> None:
    """A token without scopes may do all that a user does, and nothing of an operator's."""
    for scope in ("chat", "read", "cancel"):
        demand_scope(Principal("acme"), scope)
    with pytest.raises(RequestError, match="the scope admin"):
        demand_scope(Principal("acme"), "admin")


def test_interrupting_needs_cancel(server: Server) -> None:
    """`if_busy: interrupt` ends what runs, so it is not for `chat` alone."""
    body = {"message": "hi", "if_busy": "interrupt"}
    session = new_session()
    refused = Client(server, "no-cancel").call("POST", f"/chat/{session}", body)
    assert (refused.status, refused.json["details"]) == (403, {"scope": "cancel"})
    assert Client(server, "default").call("POST", f"/chat/{session}", body).status == 200


def told(server: Server, session: str, query: str, headers: dict[str, str], *said: Any) -> Any:
    """What a WebSocket answers to each of these messages."""
    url = f"ws://127.0.0.1:{server.port}/agents/ws/chat/{session}{query}"
    answers = []
    with closing(WebSocket(url, headers=headers)) as connection:
        for message in said:
            connection.send(json.dumps(message))
            answers.append(json.loads(connection.receive(timeout=15) or "null"))
    return answers


MESSAGE = {"type": "message", "content": "hi"}
INPUT = {"type": "input", "request_id": "r", "value": 1}
CANCEL = {"type": "cancel"}


@pytest.mark.parametrize("way", ["header", "ticket"])
def test_a_websockets_messages_need_their_scopes(server: Server, way: str) -> None:
    """Who may only read hears `forbidden` to all else, with a header as with its own ticket."""
    for token, said in (("only-read", [MESSAGE, INPUT, CANCEL]), ("no-chat", [MESSAGE, INPUT])):
        session, query, headers = new_session(), "", bearer(token)
        if way == "ticket":
            answer = Client(server, token).call("POST", f"/chat/{session}/ticket")
            query, headers = f"?ticket={answer.json['ticket']}", {}
        refusals = told(server, session, query, headers, *said)
        assert [(one["type"], one["code"]) for one in refusals] == [("error", "forbidden")] * len(
            said
        )
        assert {json.dumps(one["details"]) for one in refusals} <= {
            '{"scope": "chat"}',
            '{"scope": "cancel"}',
        }
        assert Client(server, token).call("GET", f"/session/{session}").status == 404


def test_a_ticket_never_gives_more_than_its_issuer_has(server: Server) -> None:
    """A ticket of who may chat opens a conversation on the WebSocket, as browsers need it."""
    session = new_session()
    answer = ReadingClient(server, "default").call("POST", f"/chat/{session}/ticket")
    [first] = told(server, session, f"?ticket={answer.json['ticket']}", {}, MESSAGE)
    assert first["type"] == "token"
