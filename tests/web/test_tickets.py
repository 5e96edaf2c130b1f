"""Tickets: what opens a session's streams for clients that cannot send a header."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Redis, gunicorn
from tests.support.shared_servers import TENANTS, SharedServers
from wsgi_app import tickets
from wsgi_app.errors import RequestError
from wsgi_app.store.base import SessionKey
from wsgi_app.tickets import Tickets
from wsgi_app.tokens import Principal

KEY = SessionKey("alpha", "s-1")
READER = Principal("alpha", frozenset({"read"}))


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker with two tenants."""
    return ReadingClient(servers.get(env=TENANTS))


def bare(client: ReadingClient) -> ReadingClient:
    """The same client without a token."""
    return ReadingClient(client.server, None)


def ticket_of(client: ReadingClient, session: str) -> str:
    """A ticket, as the route answers it."""
    answer = client.call("POST", f"/chat/{session}/ticket")
    assert answer.status == 200
    assert answer.json["expires_in"] == 60
    return str(answer.json["ticket"])


def test_a_ticket_opens_its_sessions_streams(client: ReadingClient) -> None:
    """Replay and poll work with the ticket alone, a tenant's session stays its own."""
    session = new_session()
    client.chat_json(session, {"text": "Hello"})
    ticket = ticket_of(client, session)
    stranger = bare(client)
    events = stranger.call("GET", f"/chat/{session}/events?last_event_id=0-0&ticket={ticket}")
    assert (events.status, b"Hello" in events.body) == (200, True)
    polled = stranger.call("GET", f"/chat/{session}/poll?after=0-0&ticket={ticket}")
    assert [event["type"] for event in polled.json["events"]] == ["token", "done"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/{session}"),
        ("POST", "/chat/{session}/cancel"),
        ("POST", "/chat/{session}/ticket"),
        ("GET", "/session/{session}"),
        ("DELETE", "/session/{session}"),
        ("GET", "/sessions"),
        ("GET", "/chat/other/events"),
    ],
)
def test_a_ticket_opens_nothing_else(client: ReadingClient, method: str, path: str) -> None:
    """Neither other routes nor other sessions."""
    session = new_session()
    ticket = ticket_of(client, session)
    target = path.format(session=session) + f"?ticket={ticket}"
    check_refusal(bare(client).call(method, target, json={"message": "hi"}), 401, "unauthorized")


def test_a_ticket_of_an_unknown_session_looks_like_any_other(client: ReadingClient) -> None:
    """Tickets do not tell which sessions exist, of this tenant or another."""
    session = new_session()
    client.chat_json(session, {"text": "Hello"})
    other = ReadingClient(client.server, "other")
    ticket = ticket_of(other, session)
    assert bare(client).call("GET", f"/chat/{session}/events?ticket={ticket}").status == 204


@pytest.mark.parametrize("ticket", ["", "x", "a.b.c", "💥", "x" * 3000])
def test_what_is_no_ticket_is_refused(client: ReadingClient, ticket: str) -> None:
    """Rubbish is 401, however it looks."""
    answer = bare(client).call("GET", f"/chat/s-1/events?ticket={quote(ticket)}")
    check_refusal(answer, 401, "unauthorized")


def signed(secret: bytes, age_seconds: float, salt: str = tickets.SALT) -> str:
    """A ticket as somebody signs it who knows a secret."""

    class Past(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age_seconds)

    made = URLSafeTimedSerializer(secret, salt=salt, signer=Past).dumps(["alpha", "s-1", ["read"]])
    return str(made)


def test_a_ticket_lives_for_a_minute_and_longer_for_who_comes_back() -> None:
    """After 60 s it opens nothing new; with a cursor it is good for the turn's time longer."""
    secret = b"s" * 32
    made = Tickets(lambda: secret)
    assert made.read(signed(secret, 50), "s-1") == READER
    with pytest.raises(RequestError, match="expired"):
        made.read(signed(secret, 70), "s-1")
    assert made.read(signed(secret, 70), "s-1", longer_seconds=180) == READER
    with pytest.raises(RequestError, match="expired"):
        made.read(signed(secret, 250), "s-1", longer_seconds=180)


def test_a_forged_ticket_is_refused() -> None:
    """Another secret or another purpose signs nothing, nor does a changed payload."""
    secret = b"s" * 32
    made = Tickets(lambda: secret)
    good = made.issue(KEY, ["read"])
    for forged in (signed(b"t" * 32, 0), signed(secret, 0, "cookie"), "A" + good, good[:-1]):
        with pytest.raises(RequestError, match="not valid"):
            made.read(forged, "s-1")


def test_an_emptied_store_makes_new_tickets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker learns of a new secret by the first ticket that is signed with it."""
    monkeypatch.setattr(tickets, "FETCH_SECONDS", 0.0)
    current = [b"s" * 32]
    made = Tickets(lambda: current[0])
    old = made.issue(KEY, ["read"])
    current[0] = b"t" * 32
    assert made.read(Tickets(lambda: current[0]).issue(KEY, ["read"]), "s-1") == READER
    with pytest.raises(RequestError, match="not valid"):
        made.read(old, "s-1")


def test_any_worker_takes_a_ticket(redis: Redis) -> None:
    """A ticket of one host's worker opens the session on another."""
    env = {"AGENT_REDIS_URL": redis.url}
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, env=env) as one, gunicorn(app, env=env) as other:
        session = new_session()
        client = ReadingClient(one)
        client.chat_json(session, {"text": "Hello"})
        ticket = ticket_of(client, session)
        path = f"/chat/{session}/events?last_event_id=0-0&ticket={ticket}"
        assert ReadingClient(other, None).call("GET", path).status == 200
