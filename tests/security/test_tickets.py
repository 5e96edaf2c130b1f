"""Tickets that are used again, too late, elsewhere, or were never issued."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from tests.security.routes import CLOSED, ROUTES, bearer, send
from tests.security.samples import Target
from tests.support.client import Client, new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Redis, Server, gunicorn, redis_server
from tests.support.service import NAMESPACE
from tests.support.sockets import connected
from wsgi_app.store.redis.keys import Keys
from wsgi_app.tickets import SALT, TICKET_SECONDS

TURN_SECONDS = 100
#: What a ticket opens, for its session.
OPENED = {name: 101 if name.startswith("WS") else 200 for name in ROUTES if ROUTES[name].ticket}


@pytest.fixture(scope="module")
def store() -> Iterator[Redis]:
    """The store of the host, where its secret is."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def server(store: Redis) -> Iterator[Server]:
    """A host with two tenants."""
    env = {
        "AGENT_REDIS_URL": store.url,
        "AGENT_TOKENS": "alpha-token=alpha,beta-token=beta",
        "AGENT_TURN_TIMEOUT_SECONDS": str(TURN_SECONDS),
    }
    with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as host:
        yield host


@pytest.fixture(scope="module")
def secret(store: Redis, server: Server) -> bytes:
    """What the host signs with, as somebody knows it who has broken into the store."""
    issued(server, "s")
    with store.client() as client:
        found = client.get(Keys(NAMESPACE).secret)
    assert isinstance(found, bytes)
    return found


@pytest.fixture
def session(server: Server) -> str:
    """A session of alpha's with one turn."""
    name = new_session()
    ReadingClient(server, "alpha-token").chat_json(name, {"text": "Hello"})
    return name


def issued(server: Server, session: str, tenant: str = "alpha") -> str:
    """A ticket, as the route answers it."""
    return str(
        Client(server, f"{tenant}-token").call("POST", f"/chat/{session}/ticket").json["ticket"]
    )


def signed(secret: bytes, content: object, age_seconds: float = 0, salt: str = SALT) -> str:
    """A ticket as the host signs it, some time ago."""

    class Past(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age_seconds)

    return str(URLSafeTimedSerializer(secret, salt=salt, signer=Past).dumps(content))


def with_ticket(
    server: Server, name: str, session: str, ticket: str, headers: dict[str, str] | None = None
) -> int:
    """The status of a route's request with a ticket."""
    return send(server, name, Target(session), headers, query=f"ticket={quote(ticket)}").status


@pytest.mark.parametrize("name", CLOSED)
def test_a_ticket_opens_its_sessions_streams_alone(server: Server, session: str, name: str) -> None:
    """Any number of times, since an EventSource comes back with it; and no other route."""
    ticket = issued(server, session)
    for _ in range(3):
        assert with_ticket(server, name, session, ticket) == OPENED.get(name, 401)
    before = ReadingClient(server, "alpha-token").session(session)
    assert [one["content"] for one in before["messages"]] == ["hi", "Hello"]


@pytest.mark.parametrize("name", OPENED)
def test_a_ticket_is_for_one_session_of_one_tenant(server: Server, session: str, name: str) -> None:
    """Neither another session of its tenant's, nor the same name of another tenant's."""
    other = new_session()
    ReadingClient(server, "alpha-token").chat_json(other, {"text": "other"})
    ticket = issued(server, session)
    assert with_ticket(server, name, other, ticket) == 401
    # With it alpha's session is read even by who brings beta's token along, and beta's is not.
    ReadingClient(server, "beta-token").chat_json(session, {"text": "for beta"})
    if name.startswith("GET"):
        path = ROUTES[name].path(Target(session))
        joint = "&" if "?" in path else "?"
        for tenant, text in (("alpha", b"Hello"), ("beta", b"for beta")):
            own = f"{path}{joint}ticket={issued(server, session, tenant)}"
            for asker in (None, "alpha-token", "beta-token"):
                body = Client(server, asker).call("GET", own).body
                assert [text in body, b"Hello" in body and b"for beta" in body] == [True, False]


@pytest.mark.parametrize("name", OPENED)
def test_a_ticket_ends_in_time(server: Server, session: str, secret: bytes, name: str) -> None:
    """After 60 s it opens nothing; who comes back with an event's id has a turn's time longer."""
    content = ["alpha", session, ["read"]]
    back = {"Last-Event-ID": "1-1"}
    for age, alone, again in (
        (0, True, True),
        (TICKET_SECONDS - 20, True, True),
        (TICKET_SECONDS + 20, False, True),
        (TICKET_SECONDS + TURN_SECONDS - 20, False, True),
        (TICKET_SECONDS + TURN_SECONDS + 20, False, False),
    ):
        ticket = signed(secret, content, age)
        # Its own query names an event, too, and the header beats it.
        path_names_event = "last_event_id" in ROUTES[name].path(Target(session))
        expected = OPENED[name] if alone or (again and path_names_event) else 401
        assert with_ticket(server, name, session, ticket) == expected, age
        expected = OPENED[name] if again else 401
        assert with_ticket(server, name, session, ticket, back) == expected, age


@pytest.mark.parametrize("name", OPENED)
def test_a_ticket_of_tomorrow_is_none(
    server: Server, session: str, secret: bytes, name: str
) -> None:
    """Its time cannot be moved into the future to make it last."""
    ticket = signed(secret, ["alpha", session, ["read"]], age_seconds=-86_400)
    assert with_ticket(server, name, session, ticket) == 401


@pytest.mark.parametrize("name", OPENED)
def test_a_forged_ticket_opens_nothing(
    server: Server, session: str, secret: bytes, name: str
) -> None:
    """Another secret, purpose or algorithm; a changed payload, time or signature; none at all."""
    good = issued(server, session)
    payload, moment, signature = good.split(".")
    later = signed(secret, [], age_seconds=-5).split(".")[1]
    other = base64.urlsafe_b64encode(json.dumps(["beta", session, ["read"]]).encode()).decode()
    forged = [
        *("", ".", "..", "null", "[]", "x" * 4000, bearer("alpha-token")["Authorization"]),
        signed(b"", ["alpha", session, ["read"]]),
        signed(b"x" * 32, ["alpha", session, ["read"]]),
        signed(secret, ["alpha", session, ["read"]], salt="cookie-session"),
        signed(secret, ["alpha", session, ["read"]], salt="wsgi_app ticket"),
        f"{other.rstrip('=')}.{moment}.{signature}",
        f"{payload}.{later}.{signature}",
        f"{payload}.{moment}.{'A' * len(signature)}",
        f"{payload}.{moment}.",
        f"{payload}.{moment}",
        f"{payload}.{signature}",
        f".{good}",
        f"{good}.",
        good.swapcase(),
        good + "A",
        good[1:],
    ]
    for ticket in forged:
        assert with_ticket(server, name, session, ticket) == 401, ticket
    # Each character counts; the last one's lowest bits are no part of the signature.
    for at in range(0, len(good) - 1, 7):
        changed = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        assert with_ticket(server, name, session, changed) == 401, at
    assert with_ticket(server, name, session, good) == OPENED[name]


def test_a_ticket_makes_no_further_ones(server: Server, session: str) -> None:
    """Else it would never end."""
    answer = Client(server, None).call(
        "POST", f"/chat/{session}/ticket?ticket={issued(server, session)}"
    )
    assert answer.status == 401


def test_a_ticket_has_its_issuers_scopes_and_no_more(
    server: Server, session: str, secret: bytes
) -> None:
    """A ticket without `read` opens nothing, as it is only made by who has it."""
    for name in OPENED:
        for scopes in ([], ["chat"], ["admin"], ["READ"]):
            ticket = signed(secret, ["alpha", session, scopes])
            assert with_ticket(server, name, session, ticket) == 403


def test_a_ticket_that_is_late_only_reads(server: Server, session: str, secret: bytes) -> None:
    """A client that returns with it after its minute follows the session, and starts nothing.

    A fresh one does all of that over a WebSocket.
    """
    scopes = ["cancel", "chat", "read"]
    for age, expected in ((0, "done"), (TICKET_SECONDS + 20, "error")):
        ticket = quote(signed(secret, ["alpha", session, scopes], age))
        query = f"?last_event_id=1-1&ticket={ticket}"
        with connected(server, session, {}, query) as client:
            client.script({"text": "x"})
            assert client.until(expected)[-1].get("code") == {"error": "forbidden"}.get(expected)
            client.say(type="resume", last_event_id="1-1")
            assert client.until("done")
    messages = ReadingClient(server, "alpha-token").session(session)["messages"]
    assert [one["role"] for one in messages].count("user") == 2
