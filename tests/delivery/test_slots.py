"""Streams never take the threads that everything else needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn
from tests.support.sse import open_stream
from tests.support.waiting import wait_for

THREADS = 16
SLOTS = 14  # threads minus max(2, an eighth)


@pytest.fixture
def client() -> Iterator[ReadingClient]:
    """A host with few threads."""
    with gunicorn("tests.support.apps:scripted_app()", threads=THREADS) as server:
        yield ReadingClient(server)


@pytest.fixture
def full(client: ReadingClient) -> Iterator[ReadingClient]:
    """The same host with all its stream slots taken."""
    with ExitStack() as streams:
        for number in range(SLOTS):
            stream = streams.enter_context(client.chat(f"held-{number}", {"hold": True}))
            stream.wait_comments(1)
        yield client


def test_stream_beyond_the_slots_is_refused_at_once(full: ReadingClient) -> None:
    """With all slots taken, the next reader of any kind gets 503 within 100 ms."""
    delays = []
    for _ in range(10):
        began = time.monotonic()
        answer = full.call("POST", "/chat/one-more", {"message": "m"})
        delays.append(time.monotonic() - began)
        assert (answer.status, answer.json["code"]) == (503, "at_capacity")
        assert int(answer.headers["Retry-After"]) >= 1
    assert sorted(delays)[5] < 0.1, delays
    assert full.call("GET", "/chat/held-0/events").status == 503  # curl, not an EventSource
    assert full.chat_json("one-more").status == 503
    assert full.call("GET", "/session/one-more").status == 404, "refused, so never begun"


def test_the_refusal_says_what_holds_more(full: ReadingClient) -> None:
    """The 503, the log and `/readyz` name the setting that bounds streams, and what helps."""
    answer = full.call("POST", "/chat/one-more", {"message": "m"})
    assert answer.json["message"] == "All stream slots of this worker are taken."
    details = answer.json["details"]
    assert (details["setting"], details["value"], details["slots"]) == ("threads", THREADS, SLOTS)
    assert "--threads" in details["more_with"]
    assert "AGENT_DELIVERY" in details["more_with"]
    told = f"streams were refused: threads is {THREADS}"
    assert full.server.log().count(told) == 1
    assert told in " ".join(full.call("GET", "/readyz").json["warnings"])


@pytest.mark.parametrize(
    ("name", "delivery"), [("AGENT_STREAM_SLOTS", None), ("AGENT_MAX_STREAMS", "parked")]
)
def test_the_refusal_names_the_setting_that_was_set(name: str, delivery: str | None) -> None:
    """Where a setting bounds the streams, it is that setting that the 503 names."""
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, delivery=delivery, env={name: "1"}) as server, ExitStack() as stack:
        client = ReadingClient(server)
        stream = stack.enter_context(client.chat("held", {"text": "a"}, {"hold": True}))
        stream.until("token")
        details = client.call("POST", "/chat/one-more", {"message": "m"}).json["details"]
        assert (details["setting"], details["value"]) == (name, 1)
        assert name in details["more_with"]


def test_cancels_answer_while_all_slots_are_taken(full: ReadingClient) -> None:
    """Forty cancels at once all answer within a second, and the site's pages with them."""

    def cancel(number: int) -> float:
        began = time.monotonic()
        answer = full.cancel(f"held-{number % SLOTS}")
        assert answer["ok"]
        return time.monotonic() - began

    with ThreadPoolExecutor(41) as pool:
        page = pool.submit(ReadingClient(full.server, prefix="").call, "GET", "/page")
        delays = list(pool.map(cancel, range(40)))
        assert page.result().body == b"a page of the site"
    assert max(delays) < 1, delays
    for number in range(SLOTS):
        assert full.session(f"held-{number}")["state"] == "idle"


def test_poll_without_a_slot_answers_at_once(full: ReadingClient) -> None:
    """A long poll that finds no slot does not wait, and does not fail."""
    began = time.monotonic()
    answer = full.poll("held-0", "1-0", 20)
    assert answer == {"events": [], "next": "1-0", "running": True}
    assert time.monotonic() - began < 10


def test_slot_comes_free_with_its_reader(full: ReadingClient) -> None:
    """A reader that leaves makes room for the next one, again and again."""
    for number in range(SLOTS):
        full.cancel(f"held-{number}")
    for _ in range(3 * SLOTS):
        wait_for(lambda: full.chat_json("next").status == 200, "a slot is free")


def test_event_source_without_a_slot_is_told_to_come_back(full: ReadingClient) -> None:
    """An EventSource gets 200 with its own last id, since a 5xx would end its retries for good."""
    url = f"{full.server.url}/agents/chat/held-0/events"
    for last_id in ("1-7", None):
        headers = {"Authorization": "Bearer dev", "Accept": "text/event-stream"}
        headers |= {} if last_id is None else {"Last-Event-ID": last_id}
        with open_stream("GET", url, headers=headers) as stream:
            (frame,) = stream
            assert (frame.id, frame.data["type"]) == (last_id, "status")
            assert frame.retry
