"""Cursors from another life of their session: its numbers began again after a deletion."""

from __future__ import annotations

import pytest

from tests.support.client import chat_body, new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.service import service
from tests.support.shared_servers import SharedServers

APP = "tests.support.apps:scripted_app()"


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """One worker."""
    return ReadingClient(servers.get())


def test_a_store_that_forgot_all_is_noticed() -> None:
    """A cursor from before a store lost its data is none of the session that began again."""
    with service(hosts=1, workers=1) as shared:
        client = shared.direct[0]
        client.chat_json("s-1", {"tokens": 6})
        before = mark_of(client, "s-1")
        with shared.store.client() as store:
            store.flushall()
        client.chat_json("s-1", {"tokens": 8})
        gap, first, *_ = client.replay("s-1", f"1-5.{before}")
    assert (gap.data["type"], gap.data["missed_after"]) == ("gap", "1-5")
    assert first.id == "1-1"


def mark_of(client: ReadingClient, session: str) -> str:
    """What the stream of a session's only turn says of its run."""
    headers = {"X-Run-Marks": "1", "Last-Event-ID": "0-0"}
    with client.stream("GET", f"/chat/{session}/events", headers=headers) as stream:
        list(stream)
    marks = [c.text.removeprefix("run ") for c in stream.comments if c.text.startswith("run ")]
    assert len(marks) == 1
    return marks[0]


@pytest.fixture
def reborn(client: ReadingClient) -> tuple[str, str, str]:
    """A session that was deleted and begun again: its name, and the marks of both lives."""
    session = new_session()
    client.chat_json(session, {"tokens": 6})
    before = mark_of(client, session)
    client.call("DELETE", f"/session/{session}")
    client.chat_json(session, {"tokens": 8})
    return session, before, mark_of(client, session)


def test_a_stream_shows_a_gap_to_an_older_cursor(
    client: ReadingClient, reborn: tuple[str, str, str]
) -> None:
    """A cursor of the deleted turn 1 gets a gap and all of the new one; its own mark resumes."""
    session, before, now = reborn
    assert before != now
    with client.events(session, f"1-5.{before}") as stream:
        told = [(frame.id, frame.data["type"]) for frame in stream]
    assert told[:2] == [("1-0", "gap"), ("1-1", "token")]
    assert told[-1] == ("1-9", "done")
    for cursor in ("1-5", f"1-5.{now}"):
        with client.events(session, cursor) as stream:
            assert next(frame.id for frame in stream) == "1-6"


def test_polls_and_many_streams_do_the_same(
    client: ReadingClient, reborn: tuple[str, str, str]
) -> None:
    """`after` of a poll and each place of a stream of many sessions take marks too."""
    session, before, now = reborn
    answer = client.poll(session, f"1-5.{before}&marks=1", 0)
    assert [event["type"] for event in answer["events"]][:2] == ["gap", "token"]
    assert answer["events"][1]["run"] == now
    assert client.poll(session, f"1-5.{now}", 0)["events"][0]["id"] == "1-6"
    assert "run" not in client.poll(session, "0-0", 0)["events"][0]
    path = f"/events?session={session}&marks=1&last_event_id=1-5.{before}"
    with client.stream("GET", path) as many:
        ids = [many.next() for _ in range(2)]
    assert [frame and frame.data["type"] for frame in ids] == ["gap", "token"]
    assert ids[1] is not None
    assert ids[1].id == f"1-1.{now}"


def test_a_live_turn_shows_a_gap_to_an_older_cursor(client: ReadingClient) -> None:
    """While the new turn 1 runs and is behind the cursor, too: no wait for what never comes."""
    session = new_session()
    client.chat_json(session, {"tokens": 6})
    before = mark_of(client, session)
    client.call("DELETE", f"/session/{session}")
    with client.chat(session, {"text": "a"}, {"hold": 1}) as turn:
        turn.until("token")
        with client.events(session, f"1-5.{before}") as stream:
            first = [stream.next(), stream.next()]
            assert [frame and frame.id for frame in first] == ["1-0", "1-1"]
            client.cancel(session)


def test_a_repeated_message_is_no_older_turns_rest(client: ReadingClient) -> None:
    """A repetition that begins a turn is answered whole, whatever its Last-Event-ID says."""
    session = new_session()
    client.chat_json(session, {"tokens": 6})
    client.call("DELETE", f"/session/{session}")
    headers = {"Idempotency-Key": "again", "Last-Event-ID": "1-5"}
    body = chat_body({"tokens": 8})
    with client.stream("POST", f"/chat/{session}", body, headers) as stream:
        assert next(frame.id for frame in stream) == "1-1"


def test_an_event_source_is_not_taken_for_one_of_another_life(
    client: ReadingClient, reborn: tuple[str, str, str]
) -> None:
    """With `?marks=ids` the id that it sends back names its run; a bare one is the session's."""
    session, before, now = reborn

    def ids_after(cursor: str) -> list[str | None]:
        path, headers = f"/chat/{session}/events?marks=ids", {"Last-Event-ID": cursor}
        with client.stream("GET", path, headers=headers) as stream:
            return [frame.id for frame in stream]

    everything = [f"1-{seq}.{now}" for seq in range(1, 10)]
    assert ids_after("0-0") == everything
    assert ids_after(everything[4]) == everything[5:]
    assert ids_after(f"1-5.{before}") == ["1-0", *everything]
    assert ids_after("1-5") == everything[5:]


@pytest.mark.parametrize("cursor", ["1-5.", "1-5.xyz", "1-5.0123456789ab0", "1.0123456789ab"])
def test_a_cursor_of_another_form_is_refused(client: ReadingClient, cursor: str) -> None:
    """What is neither an id nor an id with a mark is 422."""
    check_refusal(client.call("GET", f"/chat/s/poll?after={cursor}"), 422, "invalid_request")
