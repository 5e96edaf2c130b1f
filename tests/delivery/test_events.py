"""Reading a session's turns: attached, replayed and polled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.frames import check_turn, types_of
from tests.support.reading import ReadingClient, observed
from tests.support.servers import gunicorn
from tests.support.sse import Stream, text_of


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker that keeps little of old turns."""
    env = {"AGENT_MAX_OUTPUT_BYTES": "60000", "AGENT_KEEPALIVE_SECONDS": "0.2"}
    with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as server:
        yield ReadingClient(server)


@pytest.fixture(scope="module")
def past(client: ReadingClient) -> str:
    """A session with three turns behind it: a and done, b and done, c and done."""
    session = new_session()
    for text in ("a", "b", "c"):
        client.chat_json(session, {"text": text})
    return session


@pytest.fixture
def live(client: ReadingClient) -> Iterator[str]:
    """A session whose first turn has sent three tokens and goes on."""
    session = new_session()
    with client.chat(session, {"tokens": 3}, {"hold": 1}) as stream:
        for _ in range(3):
            stream.until("token")
        yield session
    client.cancel(session)


def ids_of(stream: Stream) -> list[str | None]:
    """The ids up to the stream's end."""
    return [frame.id for frame in stream]


ALL = ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2"]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("0-0", ALL),
        ("1-0", ALL),
        ("1-1", ALL[1:]),
        ("1-2", ALL[2:]),
        ("1-1000000000", ALL[2:]),
        ("2-0", ALL[2:]),
        ("2-1", ALL[3:]),
        ("3-0", ALL[4:]),
        ("3-1", ALL[5:]),
    ],
)
def test_a_replay_is_everything_after_its_cursor(
    client: ReadingClient, past: str, after: str, expected: list[str]
) -> None:
    """`/events` gives all that is kept behind the cursor, over turns, and ends regularly."""
    with client.events(past, after) as stream:
        headers = {name.lower(): value for name, value in stream.headers.items()}
        assert (headers["x-session-id"], headers["x-turn-id"]) == (past, "3")
        assert ids_of(stream) == expected
        assert stream.ended == "clean"
    polled = client.poll(past, after, 55)
    assert [event["id"] for event in polled["events"]] == expected
    assert (polled["next"], polled["running"]) == ("3-2", False)


@pytest.mark.parametrize("after", [None, "3-2", "3-3", "3-1000000000"])
def test_nothing_left_is_204(client: ReadingClient, past: str, after: str | None) -> None:
    """When nothing runs, no cursor or one behind everything is 204, which ends an EventSource."""
    headers = {} if after is None else {"Last-Event-ID": after}
    answer = client.call("GET", f"/chat/{past}/events", headers=headers)
    assert (answer.status, answer.body) == (204, b"")


def test_attaching_never_starts_a_turn(client: ReadingClient, past: str) -> None:
    """Reading changes nothing: no turn, no session."""
    before = client.session(past)
    unknown = new_session()
    for session in (past, unknown):
        client.call("GET", f"/chat/{session}/events", headers={"Last-Event-ID": "0-0"})
        client.call("GET", f"/chat/{session}/poll?after=0-0&wait=1")
    assert client.session(past) == before
    assert client.call("GET", f"/session/{unknown}").status == 404


def test_without_a_cursor_the_running_turn_comes_from_its_start(
    client: ReadingClient, live: str
) -> None:
    """A reader that joins in mid-turn gets the turn's events from the first, then live."""
    with client.events(live) as stream:
        frames = [stream.next() for _ in range(3)]
        assert [frame.id for frame in frames if frame] == ["1-1", "1-2", "1-3"]
        stream.wait_comments(3)
        client.cancel(live)
        last = list(stream)
        check_turn([frame for frame in frames if frame] + last)
        assert types_of(last) == ["cancelled"]


def test_without_a_cursor_older_turns_are_left_out(client: ReadingClient) -> None:
    """Attaching to the third turn does not replay the first two."""
    session = new_session()
    for _ in range(2):
        client.chat_json(session)
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        with client.events(session) as attached:
            first = attached.next()
            assert first is not None
            assert first.id == "3-1"
        assert [event["id"] for event in client.poll_now(session)["events"]] == ["3-1"]
        client.cancel(session)


def test_the_header_beats_the_query(client: ReadingClient, past: str) -> None:
    """Last-Event-ID is the newer of two cursors: EventSource reconnects with its first URL."""
    path = f"/chat/{past}/events?last_event_id=0-0"
    with client.stream("GET", path) as stream:
        assert ids_of(stream) == ALL
    with client.stream("GET", path, headers={"Last-Event-ID": "3-1"}) as stream:
        assert ids_of(stream) == ["3-2"]
    assert client.call("GET", path, headers={"Last-Event-ID": "3-2"}).status == 204


def test_a_cursor_above_the_newest_turn_gets_a_gap(client: ReadingClient, past: str) -> None:
    """Such a reader is told what it missed, then gets all that is kept."""
    with client.events(past, "9-4") as stream:
        frames = list(stream)
    gap = {"type": "gap", "missed_after": "9-4", "resumes_at": "1-1"}
    assert [frame.id for frame in frames] == ["1-0", *ALL]
    assert frames[0].data == gap
    polled = client.poll(past, "9-4", 0)["events"]
    assert polled[0] == {"id": "1-0", **gap}
    assert [event["id"] for event in polled[1:]] == ALL


def test_what_is_no_longer_kept_is_a_gap(client: ReadingClient) -> None:
    """Old turns leave a long journal; a cursor in them gets `gap` under the id before the rest."""
    session = new_session()
    for _ in range(6):
        client.chat_json(session, {"text": 50_000 * "x"})
    with client.events(session, "0-0") as stream:
        kept = list(stream)
    oldest = int((kept[0].id or "").split("-")[0])
    assert oldest > 2
    assert kept[0].id == f"{oldest}-1"
    for cursor in ("1-0", "1-1", f"{oldest - 1}-1"):
        with client.events(session, cursor) as stream:
            frames = list(stream)
        resumes_at = f"{oldest}-1"
        assert frames[0].data == {"type": "gap", "missed_after": cursor, "resumes_at": resumes_at}
        assert frames[0].id == f"{oldest}-0"
        assert [frame.id for frame in frames[1:]] == [frame.id for frame in kept]


def test_a_cursor_ahead_of_a_running_turn_waits(client: ReadingClient) -> None:
    """A reader that has seen more than is there yet waits for what comes behind its cursor."""
    session = new_session()
    with client.chat(session, {"tokens": 40, "pause": 0.02}) as stream:
        stream.until("token")
        with client.events(session, "1-30") as ahead:
            assert ahead.status == 200
            assert ids_of(ahead) == [f"1-{n}" for n in range(31, 42)]
        assert types_of(list(stream))[-1] == "done"


def test_a_cursor_at_the_newest_event_waits(client: ReadingClient, live: str) -> None:
    """A cursor at the newest event of a running turn waits for the rest."""
    with client.events(live, "1-3") as stream:
        stream.wait_comments(3)
        client.cancel(live)
        assert types_of(list(stream)) == ["cancelled"]


def test_many_readers_get_the_same(client: ReadingClient) -> None:
    """A turn may have any number of readers; all get all of it."""
    session = new_session()
    with client.chat(session, {"tokens": 30, "pause": 0.02}) as stream:
        readers = [client.events(session, "0-0") for _ in range(10)]
        texts = [text_of(list(reader)) for reader in readers]
        assert set(texts) == {text_of(list(stream))}
    for reader in readers:
        reader.close()
    assert len(observed(client.server, "started", session)) == 1


def test_a_replay_may_be_named_and_batched(client: ReadingClient, past: str) -> None:
    """`?named=1` and `?batch_ms=` work on `/events` too."""
    with client.stream(
        "GET", f"/chat/{past}/events?last_event_id=0-0&named=1&batch_ms=50"
    ) as stream:
        assert [frame.event for frame in stream] == 3 * ["token", "done"]


def test_a_poll_answers_at_once_when_there_is_something(client: ReadingClient, live: str) -> None:
    """A poll with events to give does not wait for more."""
    started = time.monotonic()
    polled = client.poll(live, "1-1", 55)
    assert time.monotonic() - started < 1
    assert polled == {
        "events": [
            {"id": "1-2", "type": "token", "content": "w2 "},
            {"id": "1-3", "type": "token", "content": "w3 "},
        ],
        "next": "1-3",
        "running": True,
    }


def test_a_poll_waits_as_long_as_it_is_told(client: ReadingClient, live: str) -> None:
    """A poll without events ends empty after `wait`, without one at once."""
    started = time.monotonic()
    assert client.poll(live, "1-3", 0) == {"events": [], "next": "1-3", "running": True}
    assert time.monotonic() - started < 0.3
    assert client.poll(live, "1-3", 0.5) == {"events": [], "next": "1-3", "running": True}
    assert 0.5 <= time.monotonic() - started < 1.5


def test_a_poll_ends_with_the_event_it_waits_for(client: ReadingClient, live: str) -> None:
    """A waiting poll answers as soon as something comes, here the turn's end."""
    cancel = threading.Timer(0.3, client.cancel, [live])
    started = time.monotonic()
    cancel.start()
    polled = client.poll(live, "1-3", 30)
    assert 0.2 < time.monotonic() - started < 2
    cancel.join()
    assert [event["type"] for event in polled["events"]] == ["cancelled"]
    assert (polled["next"], polled["running"]) == ("1-4", False)


def test_a_poll_without_a_cursor_starts_with_the_running_turn(
    client: ReadingClient, live: str
) -> None:
    """Without `after`: the running turn from its start; of an idle session nothing, at once."""
    assert [event["id"] for event in client.poll_now(live)["events"]] == ["1-1", "1-2", "1-3"]
    past = new_session()
    client.chat_json(past, {"text": "a"})
    idle = client.poll_now(past)
    assert (idle["events"], idle["running"]) == ([], False)
    # Its `next` lies behind all that was, and before all that comes.
    client.chat_json(past, {"text": "b"})
    assert [event["id"] for event in client.poll(past, idle["next"], 0)["events"]] == ["2-1", "2-2"]


def test_polls_one_after_the_other_bring_everything_once(client: ReadingClient) -> None:
    """A long turn comes in pieces, each behind the one before, to its end."""
    session = new_session()
    client.chat_json(session, {"tokens": 2600})
    events: list[dict[str, Any]] = []
    after, running, polls = "0-0", True, 0
    while running:
        polled = client.poll(session, after, 5)
        events += polled["events"]
        after, running, polls = polled["next"], polled["running"], polls + 1
        assert polls < 10
    assert [event["id"] for event in events] == [f"1-{n}" for n in range(1, 2602)]
    assert polls > 1
