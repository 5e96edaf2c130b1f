"""Servers beside gunicorn: what docs/servers.md says of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from typing import Any, Final

import pytest

from tests.support import other_servers
from tests.support.chunked import send_chunked
from tests.support.reading import ReadingClient, wait_observed
from tests.support.refusals import check_refusal
from tests.support.servers import Server, redis_server
from tests.support.waiting import wait_for
from wsgi_app.delivery.slots import default_slots

#: Keep-alives come too late for a hang-up to be noticed by one.
ENV: Final = {"AGENT_ORPHAN_SECONDS": "0", "AGENT_KEEPALIVE_SECONDS": "60"}
THREADS: Final = other_servers.THREADS
#: "Within a second", and what a busy machine adds.
NOTICED_SECONDS: Final = 1.5
SLOW: Final = pytest.mark.slow

STREAMING: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "granian": lambda: other_servers.granian(env=ENV),
    "hypercorn": lambda: other_servers.hypercorn(env=ENV),
    "cheroot": lambda: other_servers.cheroot(env=ENV),
    "uwsgi-gevent": lambda: other_servers.uwsgi_gevent(env=ENV),
    "uvicorn": lambda: other_servers.uvicorn("uvicorn_app", env=ENV),
    "starlette": lambda: other_servers.uvicorn("starlette_app", env=ENV),
    "gunicorn-asgi": lambda: other_servers.gunicorn_class(
        "asgi", f"{other_servers.BRIDGES}:a2wsgi_app", env=ENV
    ),
}


def by_name(*names: str) -> list[Any]:
    """One of each kind is in the core suite: one that writes to see a hang-up, one that hears."""
    return [
        name if name in ("granian", "starlette") else pytest.param(name, marks=SLOW)
        for name in names
    ]


@pytest.fixture(scope="module", params=by_name(*STREAMING))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    """Run the scripted site on each server."""
    with STREAMING[request.param]() as server:
        yield request.param, server
        assert "Traceback" not in server.log()


@pytest.fixture
def client(served: tuple[str, Server]) -> ReadingClient:
    """Talk to it."""
    return ReadingClient(served[1])


def test_tokens_come_one_by_one(client: ReadingClient) -> None:
    """What the agent sends every 0.2 s arrives so, in one of a few turns on a busy machine."""

    def least_gap(session_id: str) -> float:
        with client.chat(session_id, {"tokens": 5, "pause": 0.2}) as stream:
            arrivals = [frame.at for frame in stream if frame.data["type"] == "token"]
        assert stream.ended == "clean"
        return min(later - earlier for earlier, later in pairwise(arrivals))

    assert any(least_gap(f"paced-{number}") > 0.1 for number in range(8))


def test_a_cancel_ends_a_stream(client: ReadingClient) -> None:
    """A cancel on another connection ends the stream with its `cancelled` event."""
    with client.chat("cancelled", {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        assert client.cancel("cancelled")["cancelled"]
        assert [frame.data for frame in stream] == [{"type": "cancelled", "reason": "user"}]


def test_a_hang_up_is_seen_within_a_second(
    served: tuple[str, Server], client: ReadingClient
) -> None:
    """A client that goes ends its silent turn long before a keep-alive is due."""
    delays = []
    for number in range(3):
        session_id = f"gone-{number}"
        stream = client.chat(session_id, {"text": "a"}, {"hold": True})
        left_at = stream.until("token")[-1].at
        stream.close()
        delays.append(wait_observed(served[1], "cancelled", session_id) - left_at)
    assert sorted(delays)[1] < NOTICED_SECONDS, delays


def test_a_reader_resumes(client: ReadingClient) -> None:
    """A reader that comes back gets the rest."""
    with client.chat("resumed", {"tokens": 30, "pause": 0.03}, on_disconnect="continue") as stream:
        first = stream.until("token")
    rest = client.replay("resumed", first[-1].id or "")
    words = [f.data["content"] for f in first + rest if f.data["type"] == "token"]
    assert "".join(words) == rest[-1].data["reply"]


def test_a_chunked_body_is_read(client: ReadingClient) -> None:
    """A message that comes without a length is taken as any other."""
    answer = send_chunked(client, [b'{"message"', b': "hi"}'], "/chat/chunked")
    assert (answer.status, answer.json["turn_id"]) == (200, "1")


def test_streams_leave_threads_to_the_site(
    served: tuple[str, Server], client: ReadingClient
) -> None:
    """The threads are known: one stream too many is refused, and the site's pages answer."""
    if served[0] in SHARED_POOLS:
        (warning,) = client.call("GET", "/readyz").json["warnings"]
        slots = int(warning.partition("so ")[2].split()[0])
    else:
        slots = default_slots(THREADS)
    with ExitStack() as stack:
        for number in range(min(slots, 20)):
            stream = stack.enter_context(client.chat(f"slot-{number}", {"hold": True}))
            stream.wait_comments(1)
        if slots <= 20:
            answer = client.chat_json("too-many", {"text": "x"})
            check_refusal(answer, 503, "at_capacity")
        page = ReadingClient(served[1], prefix="").call("GET", "/page")
        assert page.body == b"a page of the site"
        for number in range(min(slots, 20)):
            assert client.cancel(f"slot-{number}")["cancelled"]


#: Whose threads nobody has set: the loop's own pool, and anyio's.
SHARED_POOLS: Final = ("hypercorn", "starlette")


@pytest.mark.parametrize("name", by_name("granian", "hypercorn"))
def test_workers_are_one_service(name: str) -> None:
    """With Redis a cancel and a resume find their turn from whichever worker they land on."""
    start = {"granian": other_servers.granian, "hypercorn": other_servers.hypercorn}[name]
    with redis_server() as redis:
        env = {**ENV, "AGENT_REDIS_URL": redis.url, "AGENT_ORPHAN_SECONDS": "30"}
        with start(env=env, workers=2) as server:
            client = ReadingClient(server, prefix="")
            pids: set[Any] = set()

            def both_have_answered(client: ReadingClient = client) -> bool:
                pids.add(client.call("GET", "/pid").json)
                return len(pids) == 2

            wait_for(both_have_answered, "both workers answer", 30)
            client = ReadingClient(server)
            for number in range(6):
                with client.chat(f"s-{number}", {"text": "a"}, {"hold": True}) as stream:
                    (first,) = stream.until("token")
                with client.events(f"s-{number}", first.id) as stream:
                    assert client.cancel(f"s-{number}")["cancelled"]
                    assert [frame.data["type"] for frame in stream] == ["cancelled"]


def test_an_unknown_server_is_named_and_streams() -> None:
    """On a server that is not known a turn streams, and log and readiness say what is not."""
    with other_servers.wsgiref_server(env=ENV) as server:
        client = ReadingClient(server)
        assert client.chat_json("s", {"text": "hello"}).json["reply"] == "hello"
        with client.chat("s", {"tokens": 2}) as stream:
            assert list(stream)[-1].data["reply"] == "w1 w2 "
        (warning,) = client.call("GET", "/readyz").json["warnings"]
        assert "not a known one" in warning
        assert "AGENT_STREAM_SLOTS" in warning
        assert server.log().count(warning) == 1


def test_a_chunked_body_that_never_arrives_is_refused_in_words() -> None:
    """A server that does not pass a body without a length on: 411, not "the body is empty"."""
    with other_servers.wsgiref_server(env=ENV) as server:
        answer = send_chunked(ReadingClient(server), [b'{"message": "hi"}'], "/chat/chunked")
        check_refusal(answer, 411, "length_required")
