"""Clients that vanish, and what becomes of their turns."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.agents import BLOB_CHARS
from tests.support.client import chat_body
from tests.support.reading import ReadingClient as Client
from tests.support.reading import observed, wait_observed
from tests.support.servers import Gunicorn, Server, gunicorn, nginx
from tests.support.sse import Frame, StreamCutError, open_stream, text_of
from tests.support.waiting import wait_for

APP = "tests.support.apps:scripted_app()"
NOTICED_SECONDS = 0.1
TRIES = 10
# Development mode refuses what comes through a proxy.
TOKENS = {"AGENT_TOKENS": "dev=demo-tenant"}


@pytest.fixture(scope="module")
def impatient() -> Iterator[Gunicorn]:
    """A host that cancels a turn as soon as its last reader has left."""
    with gunicorn(APP, threads=16, env={"AGENT_ORPHAN_SECONDS": "0", **TOKENS}) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(impatient: Gunicorn) -> Iterator[Server]:
    """Put nginx in front of it."""
    with nginx(upstreams=[impatient]) as server:
        yield server


@pytest.fixture(params=["direct", "behind nginx"])
def entrance(request: pytest.FixtureRequest, impatient: Gunicorn, proxy: Server) -> Server:
    """Both ways in."""
    return impatient if request.param == "direct" else proxy


@pytest.mark.parametrize("way", ["close", "abort"])
def test_vanished_client_is_noticed_within_100_ms(
    impatient: Gunicorn, entrance: Server, way: str
) -> None:
    """A client that goes, in good order or not, ends its silent turn within 100 ms."""
    client = Client(entrance)
    delays = []
    for number in range(TRIES):
        session_id = f"gone-{way}-{entrance.port}-{number}"
        stream = client.chat(session_id, {"text": "a"}, {"hold": True})
        assert stream.until("token")
        left_at = time.monotonic()
        stream.close() if way == "close" else stream.abort()
        delays.append(wait_observed(impatient, "cancelled", session_id) - left_at)
        client.wait_idle(session_id)
    # The median: a machine under load may delay any single one.
    assert sorted(delays)[TRIES // 2] < NOTICED_SECONDS, delays


def test_turn_without_reader_ends_after_the_orphan_time() -> None:
    """A turn goes on for the orphan time without readers, then ends as disconnected."""
    with gunicorn(APP, env={"AGENT_ORPHAN_SECONDS": "1"}) as server:
        client = Client(server)
        stream = client.chat("orphan", {"text": "a"}, {"hold": True})
        stream.until("token")
        left_at = time.monotonic()
        stream.abort()
        ended_at = wait_observed(server, "cancelled", "orphan")
        assert 0.9 < ended_at - left_at < 8
        client.wait_idle("orphan")
        frames = client.replay("orphan", "1-1")
        assert [frame.data for frame in frames] == [{"type": "cancelled", "reason": "disconnected"}]


def test_reader_that_comes_back_in_time_keeps_the_turn() -> None:
    """The orphan time starts again with each reader that leaves, and stops with one that comes."""
    with gunicorn(APP, env={"AGENT_ORPHAN_SECONDS": "1"}) as server:
        client = Client(server)
        stream = client.chat("back", {"tokens": 30, "pause": 0.1})
        last_id = None
        for _ in range(3):
            last_id = stream.until("token")[-1].id
            stream.abort()
            stream = client.events("back", last_id)
        assert stream.until("done")
        stream.close()
        assert not observed(server, "cancelled", "back")


def test_poll_counts_as_reader_until_the_orphan_time_after_its_answer() -> None:
    """Polls closer together than the orphan time keep a turn without stream going."""
    with gunicorn(APP, env={"AGENT_ORPHAN_SECONDS": "1"}) as server:
        client = Client(server)
        stream = client.chat("polled", {"tokens": 8, "pause": 0.4})
        stream.until("token")
        stream.abort()
        cursor, running = "1-0", True
        while running:
            answer = client.poll("polled", cursor, 5)
            cursor, running = answer["next"], answer["running"]
        assert client.session("polled")["messages"][-1]["content"].endswith("w8 ")
        assert not observed(server, "cancelled", "polled")


def test_turn_that_shall_continue_outlives_its_readers(impatient: Gunicorn) -> None:
    """With on_disconnect "continue" a turn goes on to its own end, whoever leaves."""
    client = Client(impatient)
    stream = client.chat("stays", {"tokens": 10, "pause": 0.05}, on_disconnect="continue")
    stream.until("token")
    stream.abort()
    client.wait_idle("stays")
    assert client.replay("stays", "1-0")[-1].data["type"] == "done"


def test_second_reader_keeps_the_turn(impatient: Gunicorn) -> None:
    """Only the last reader's leaving makes an orphan."""
    client = Client(impatient)
    first = client.chat("two", {"text": "a"}, {"wait": 0.5}, {"text": "b"})
    first.until("token")
    second = client.events("two")
    second.until("token")
    first.abort()
    assert second.until("done")[-1].data["reply"] == "ab"
    second.close()


def test_json_client_that_vanishes_ends_its_turn(impatient: Gunicorn) -> None:
    """A client that waits for one JSON answer is watched like a stream."""
    body = json.dumps({"message": "m", "metadata": {"steps": [{"hold": True}]}})
    request = (
        "POST /agents/chat/json-gone HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dev\r\n"
        "Accept: application/json\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    connection = socket.create_connection(("127.0.0.1", impatient.port), timeout=10)
    connection.sendall(request.encode())
    wait_observed(impatient, "started", "json-gone")
    connection.close()
    wait_observed(impatient, "cancelled", "json-gone")


def test_reader_that_stops_reading_is_dropped_and_can_resume() -> None:
    """A backlog not taken within the write timeout cuts the reader off, and nothing is lost."""
    with gunicorn(
        APP, env={"AGENT_WRITE_TIMEOUT_SECONDS": "1", "AGENT_MAX_STREAMS": "1"}
    ) as server:
        client = Client(server)
        stalled = open_stream(
            "POST",
            f"{server.url}/agents/chat/stalled",
            json=chat_body({"blobs": 60}, on_disconnect="continue"),
            headers={"Authorization": "Bearer dev"},
            receive_buffer_bytes=4096,
        )
        client.wait_idle("stalled")
        assert client.chat_json("refused").status == 503
        wait_for(lambda: client.chat_json("next").status == 200, "its slot comes free")
        frames: list[Frame] = []
        with pytest.raises(StreamCutError):
            frames.extend(stalled)
        stalled.close()
        frames += client.replay("stalled", frames[-1].id or "" if frames else "1-0")
        expected = "".join(chr(ord("a") + number % 26) * BLOB_CHARS for number in range(60))
        assert text_of(frames) == expected


def test_a_slow_reader_of_an_old_turn_keeps_the_running_one() -> None:
    """Who replays from an older turn, however slowly, is on the way to the running one."""
    env = {"AGENT_ORPHAN_SECONDS": "1", "AGENT_MAX_OUTPUT_BYTES": "16000000"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        client, session = Client(server), "slow"
        assert (
            client.call("POST", f"/chat/{session}", chat_body({"blobs": 200}), seconds=60).status
            == 200
        )
        first = client.chat(session, {"text": "a"}, {"hold": True})
        first.until("token")
        slow = open_stream(
            "GET",
            f"{server.url}/agents/chat/{session}/events",
            headers={"Authorization": "Bearer dev", "Last-Event-ID": "1-1"},
            receive_buffer_bytes=65_536,
        )
        with slow:
            first.abort()
            until = time.monotonic() + 3
            wait_for(lambda: time.monotonic() > until, "three times the orphan time has passed")
            assert not observed(server, "cancelled", session)
            assert client.session(session)["state"] == "running"
            slow.until("done")
            assert slow.until("token")
