"""Readers that wait for what does not come cost the store next to nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Redis, gunicorn
from tests.support.sse import Stream
from tests.support.waiting import wait_for

APP = "tests.support.apps:scripted_app()"
#: As many as one stream may name.
SESSIONS = 100
STREAMS = 150
#: The heartbeats of two workers, and one question a second for all readers of one.
MAX_COMMANDS_PER_SECOND = 20.0
#: A worker finds out about a session of another one within its next look.
SOON_SECONDS = 5.0


@pytest.fixture
def hosts(redis: Redis) -> Iterator[tuple[Gunicorn, Gunicorn]]:
    """Two hosts on one store, each with room for all streams of one tenant."""
    env = {
        "AGENT_REDIS_URL": redis.url,
        "AGENT_MAX_SLOTS_PER_TENANT": str(STREAMS),
        "AGENT_KEEPALIVE_SECONDS": "1",
        "AGENT_RATE_LIMIT": "1000/minute",
    }
    threads = STREAMS + 50
    with gunicorn(APP, threads=threads, env=env) as here, gunicorn(APP, env=env) as there:
        yield here, there


def open_streams(stack: ExitStack, client: ReadingClient, names: list[list[str]]) -> list[Stream]:
    """Open a stream for each list of sessions; returns when all are being served."""
    streams = []
    for sessions in names:
        query = "&".join(f"session={session}" for session in sessions)
        stream = client.stream("GET", f"/events?{query}")
        assert stack.enter_context(stream).status == 200
        streams.append(stream)
    for stream in streams:
        stream.wait_comments(2)
    return streams


def commands_per_second(redis: Redis, seconds: float) -> float:
    """How many commands the store runs in a second, those in scripts too; the least of three."""

    def count() -> int:
        with redis.client() as client:
            return sum(int(one["calls"]) for one in client.info("commandstats").values())

    def measure() -> float:
        before, began_at = count(), time.monotonic()
        wait_for(lambda: time.monotonic() - began_at >= seconds, "time passes", seconds + 5)
        return (count() - before) / (time.monotonic() - began_at)

    return min(measure() for _ in range(3))


def begin_and_see(stream: Stream, client: ReadingClient, session: str) -> None:
    """Begin a session, and fail unless the stream has it soon, from its first event."""
    assert client.chat_json(session, {"text": "x"}).status == 200
    began_at = time.monotonic()
    frame = stream.next()
    assert frame is not None
    assert (frame.data["session_id"], frame.data["id"]) == (session, "1-1")
    assert time.monotonic() - began_at < SOON_SECONDS


@pytest.mark.parametrize(
    "count", [10, pytest.param(STREAMS, marks=[pytest.mark.slow, pytest.mark.timeout(120)])]
)
def test_unknown_sessions_are_not_polled(
    redis: Redis, hosts: tuple[Gunicorn, Gunicorn], count: int
) -> None:
    """However many unknown sessions are waited for, the store is asked once a second, for all.

    A session that begins is followed all the same, on this worker and on another.
    """
    here, there = hosts
    names = [[new_session() for _ in range(SESSIONS)] for _ in range(count)]
    with ExitStack() as stack:
        streams = open_streams(stack, ReadingClient(here), names)
        rate = commands_per_second(redis, 1)
        assert rate < MAX_COMMANDS_PER_SECOND
        begin_and_see(streams[0], ReadingClient(here), names[0][7])
        begin_and_see(streams[-1], ReadingClient(there), names[-1][7])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_idle_sessions_are_looked_at_once(redis: Redis, hosts: tuple[Gunicorn, Gunicorn]) -> None:
    """Readers of sessions that are there and idle cost what one of them costs."""
    here, there = hosts
    names = [new_session() for _ in range(SESSIONS)]
    client = ReadingClient(there)
    for session in names:
        assert client.chat_json(session, {"text": "x"}).status == 200
    with ExitStack() as stack:
        (one,) = open_streams(stack, ReadingClient(here), [names])
        alone = commands_per_second(redis, 9)
        open_streams(stack, ReadingClient(here), [names] * 60)
        crowd = commands_per_second(redis, 9)
        assert crowd < alone + MAX_COMMANDS_PER_SECOND
        assert client.chat_json(names[3], {"text": "y"}).status == 200
        frame = one.next()
        assert frame is not None
        assert frame.data["id"] == "2-1"
