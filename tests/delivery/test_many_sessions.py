"""GET /events: many sessions on one connection, resumed exactly by one cursor."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Redis, Server, gunicorn
from tests.support.shared_servers import TENANTS, SharedServers
from tests.support.sse import Frame, Stream, open_stream

APP = "tests.support.apps:scripted_app()"
DEV = {"Authorization": "Bearer dev"}


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker with two tenants."""
    return ReadingClient(servers.get(env=TENANTS))


def watch(server: Server, sessions: list[str], cursor: str = "", query: str = "") -> Stream:
    """Open the stream of these sessions."""
    names = "&".join(f"session={session}" for session in sessions)
    headers = {**DEV, **({"Last-Event-ID": cursor} if cursor else {})}
    url = f"http://127.0.0.1:{server.port}/agents/events?{names}{query}"
    return open_stream("GET", url, headers=headers)


def next_frame(stream: Stream) -> Frame:
    """The stream's next frame."""
    frame = stream.next()
    assert frame is not None, "the stream has ended"
    return frame


def until_ended(stream: Stream, *sessions: str) -> list[Frame]:
    """All frames until each of these sessions has had a turn's end."""
    waiting = list(sessions)
    frames = []
    while waiting:
        frame = next_frame(stream)
        frames.append(frame)
        if frame.data["type"] in ("done", "error", "cancelled"):
            waiting.remove(frame.data["session_id"])
    return frames


def told(frames: list[Frame], session: str) -> list[tuple[str, str]]:
    """One session's events: ids and types."""
    return [(f.data["id"], f.data["type"]) for f in frames if f.data["session_id"] == session]


def test_each_event_names_its_session(client: ReadingClient) -> None:
    """Turns of several sessions come in one stream, each with its session and its own id."""
    one, two = new_session(), new_session()
    with watch(client.server, [one, two]) as stream:
        client.chat_json(one, {"text": "a"})
        client.chat_json(two, {"text": "b"}, {"text": "c"})
        frames = until_ended(stream, one, two)
    assert told(frames, one) == [("1-1", "token"), ("1-2", "done")]
    assert told(frames, two) == [("1-1", "token"), ("1-2", "token"), ("1-3", "done")]


def test_the_stream_goes_on_from_turn_to_turn(client: ReadingClient) -> None:
    """It does not end with a turn; the next one comes in the same stream."""
    session = new_session()
    with watch(client.server, [session]) as stream:
        for turn in range(1, 4):
            client.chat_json(session, {"text": "a"})
            assert told(until_ended(stream, session), session)[-1] == (f"{turn}-2", "done")


def test_a_running_turn_comes_from_its_start(client: ReadingClient) -> None:
    """Without a cursor: what runs from its first event, and nothing of what is over."""
    busy, idle = new_session(), new_session()
    client.chat_json(idle, {"text": "over"})
    with client.chat(busy, {"text": "a"}, {"hold": 1}) as turn:
        turn.until("token")
        with watch(client.server, [idle, busy]) as stream:
            assert next_frame(stream).data == {
                "session_id": busy,
                "id": "1-1",
                "type": "token",
                "content": "a",
            }
            client.cancel(busy)
            assert told(until_ended(stream, busy), busy) == [("1-2", "cancelled")]


def test_any_frames_id_resumes_exactly(client: ReadingClient) -> None:
    """From whatever frame a client comes back, it gets the rest of every session, once."""
    sessions = [new_session() for _ in range(3)]
    with watch(client.server, sessions) as stream:
        for _ in range(2):
            for session in sessions:
                client.chat_json(session, {"tokens": 3})
        frames = until_ended(stream, *sessions, *sessions)
    for seen in range(1, len(frames)):
        cursor = frames[seen - 1].id
        assert cursor is not None
        with watch(client.server, sessions, cursor) as stream:
            rest = [next_frame(stream) for _ in range(len(frames) - seen)]
        for session in sessions:
            both = told(frames[:seen], session) + told(rest, session)
            assert both == told(frames, session), (seen, cursor)


def test_a_session_that_is_made_later_is_read(client: ReadingClient) -> None:
    """An unknown session may be named; its first turn comes from its first event."""
    session = new_session()
    with watch(client.server, [session], query="&named=1") as stream:
        client.chat_json(session, {"text": "a"})
        frame = next_frame(stream)
    assert (frame.event, frame.data["id"]) == ("token", "1-1")


def test_a_deleted_session_begins_again(client: ReadingClient) -> None:
    """After a DELETE the stream goes on, and brings a later session of that name."""
    session, other = new_session(), new_session()
    with watch(client.server, [session, other]) as stream:
        client.chat_json(session, {"text": "a"})
        until_ended(stream, session)
        client.call("DELETE", f"/session/{session}")
        client.chat_json(other, {"text": "b"})
        until_ended(stream, other)
        client.chat_json(session, {"text": "c"})
        frames = until_ended(stream, session)
    assert told(frames, session)[-1] == ("1-2", "done")


def test_another_tenants_session_is_silent(client: ReadingClient) -> None:
    """A name that belongs to another tenant's session tells nothing of it."""
    shared, own = new_session(), new_session()
    with watch(client.server, [shared, own]) as stream:
        ReadingClient(client.server, "other").chat_json(shared, {"text": "secret"})
        client.chat_json(own, {"text": "a"})
        frames = until_ended(stream, own)
    assert told(frames, shared) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "session"),
        ("?session=a&session=a", "session"),
        ("?session=..", "session_id"),
        ("?" + "&".join(f"session=s{n}" for n in range(101)), "session"),
        ("?session=a&session=b&last_event_id=1-1", "last_event_id"),
        ("?session=a&last_event_id=x", "last_event_id"),
        ("?session=a&batch_ms=9999", "batch_ms"),
    ],
)
def test_a_faulty_request_is_refused(client: ReadingClient, query: str, field: str) -> None:
    """The refusal names what is wrong."""
    answer = client.call("GET", f"/events{query}")
    check_refusal(answer, 422, "invalid_request")
    assert answer.json["details"]["field"] == field


def test_turns_of_other_workers_are_read_and_their_deaths(redis: Redis) -> None:
    """Sessions that run on another worker come through the store, and end when it dies."""
    env = {"AGENT_REDIS_URL": redis.url, "AGENT_LEASE_SECONDS": "1"}
    with gunicorn(APP, env=env) as here, gunicorn(APP, env=env) as there:
        session, doomed = new_session(), new_session()
        with watch(here, [session, doomed]) as stream:
            remote = ReadingClient(there)
            remote.chat_json(session, {"text": "a"})
            assert told(until_ended(stream, session), session)[-1] == ("1-2", "done")
            with remote.chat(doomed, {"text": "a"}, {"hold": 1}) as turn:
                turn.until("token")
                for pid in there.worker_pids():
                    os.kill(pid, signal.SIGKILL)
                frames = until_ended(stream, doomed)
        assert frames[-1].data["code"] == "worker_lost"
