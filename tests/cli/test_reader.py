"""How the command's client reads turns from hosts that falter, byte for byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.cli.canned import Answer, Canned, answer, canned, event, refusal, stream
from wsgi_app.cli import client as client_module
from wsgi_app.cli import turn as turn_module
from wsgi_app.cli.client import HostClient
from wsgi_app.cli.faults import ConnectionLost, HostError, Refused
from wsgi_app.cli.sse import MAX_BLOCK_BYTES
from wsgi_app.cli.turn import MAX_READ_FAILURES, MAX_START_FAILURES, Notice, Numbered, TurnReader

LOST = Answer(b"")  # a connection that is closed without an answer
DONE = event("7-9", {"type": "done", "reply": "ab"})


def token(seq: int, content: str) -> bytes:
    """A token of turn 7."""
    return event(f"7-{seq}", {"type": "token", "content": content})


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back at once, but for what the host asks."""
    for module in (turn_module, client_module):
        monkeypatch.setattr(module, "backoff_seconds", lambda *_: 0.0)


def read(host: Canned) -> Iterator[str]:
    """Start a turn and give what its reader gives: notices' texts, tokens, types of other events.

    A refusal's code is the last.
    """
    reader = TurnReader(HostClient(host.url, "t"), "s", message="hi")
    try:
        for item in reader.events():
            if isinstance(item, Notice):
                yield f"({item.text})"
                continue
            yield item.body.get("content", item.kind)
            reader.taken(item)
    except HostError as fault:
        yield f"!{fault.code}"


def test_resumes_behind_the_last_event() -> None:
    """After a cut anywhere, even inside an event, reading goes on behind the last whole one."""
    with canned(
        stream(token(1, "a"), token(2, "b")[:20]),
        stream(token(2, "b"), b": keep-alive\n"),
        stream(token(2, "b"), token(4, "c"), DONE),
    ) as host:
        assert list(read(host)) == ["a", "b", "c", "done"]
        start, first, second = host.requests
    assert start.line == "POST /chat/s HTTP/1.1"
    assert start.body == b'{"message": "hi"}'
    assert first.line == second.line == "GET /chat/s/events HTTP/1.1"
    assert [one.headers["last-event-id"] for one in (first, second)] == ["7-1", "7-2"]
    assert {one.headers["authorization"] for one in host.requests} == {"Bearer t"}


def test_repeats_an_unanswered_start_under_one_key() -> None:
    """A start without an answer, also one refused after that, is sent again with the same key."""
    busy = refusal("503 Busy", "at_capacity", "Full.", "Retry-After: 0")
    with canned(LOST, busy, stream(token(1, "a"), DONE)) as host:
        assert list(read(host)) == ["(Full. Trying again.)", "a", "done"]
        keys = {request.headers["idempotency-key"] for request in host.requests}
        assert len(host.requests) == 3
        assert len(keys) == 1


def test_start_is_given_up_after_a_few_tries() -> None:
    """A host that never answers is told after a bounded number of tries."""
    with canned(*[LOST] * 20) as host:
        assert list(read(host))[-1] == "!connection_lost"
        assert len(host.requests) == MAX_START_FAILURES


@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy", "409 Conflict", "302 Found"])
def test_refused_start_is_reported_at_once(status: str) -> None:
    """A start that the host refuses is not tried again."""
    with canned(*[refusal(status, "busy", "Busy.", "Retry-After: 1")] * 3) as host:
        assert list(read(host)) == ["!busy"]
        assert len(host.requests) == 1


def test_refused_reads_wait_as_long_as_they_are_told() -> None:
    """429 and 503 to a reader are waited out by their Retry-After, without a loss."""
    busy = refusal("503 Busy", "at_capacity", "Busy.", "Retry-After: 1")
    full = refusal("429 Full", "too_many_readers", "Full.", "Retry-After: 0")
    with canned(stream(token(1, "a")), busy, full, stream(DONE)) as host:
        begun = time.monotonic()
        shown = list(read(host))
        assert time.monotonic() - begun > 0.9
    assert shown == ["a", "(Busy. Trying again.)", "(Full. Trying again.)", "done"]


def test_reads_are_given_up_after_a_while() -> None:
    """Reading on is tried a bounded number of times in a row; each event counts again."""
    cuts = [stream(token(seq, "a")) for seq in range(1, MAX_READ_FAILURES + 5)]
    with canned(*cuts, *[LOST] * 50) as host:
        shown = list(read(host))
        assert shown[: len(cuts)] == ["a"] * len(cuts)
        assert shown[-1] == "!connection_lost"
        assert len(host.requests) == len(cuts) + MAX_READ_FAILURES - 1


@pytest.mark.parametrize(
    "gone",
    [
        Answer(b"HTTP/1.1 204 No Content\r\n\r\n"),
        stream(event("8-1", {"type": "token", "content": "another turn's"})),
        stream(event("8-0", {"type": "gap", "missed_after": "7-1", "resumes_at": "8-1"})),
    ],
)
def test_rest_that_is_gone_is_reported(gone: Answer) -> None:
    """A rest that the host has no more ends in an error, never in another turn's text."""
    with canned(stream(token(1, "a")), gone) as host:
        assert list(read(host)) == ["a", "!lost"]


def test_sends_the_mark_and_refuses_another() -> None:
    """It resumes with its run's mark; a turn of this number with another mark is not its own."""
    first = b": run 0123456789ab\n" + token(1, "a")
    other = b": run ba9876543210\n" + token(2, "b")
    with canned(stream(first, token(2, "b")), stream(other)) as host:
        assert list(read(host)) == ["a", "b", "!lost"]
        assert host.requests[1].headers["last-event-id"] == "7-2.0123456789ab"


def test_gap_and_unknown_events_are_passed_on() -> None:
    """What is missing of the own turn is told, and a newer host's events do no harm."""
    gap = event("7-3", {"type": "gap", "missed_after": "7-1", "resumes_at": "7-4"})
    new = event("7-5", {"type": "hologram", "x": 1})
    with canned(stream(token(1, "a"), gap, token(4, "b"), new, DONE)) as host:
        assert list(read(host)) == ["a", "gap", "b", "hologram", "done"]


def test_host_that_is_full_speaks_through_a_status() -> None:
    """A status under the reader's own id, or none, is a notice, and reading is tried again."""
    full = {"type": "status", "content": "Full."}
    blocks = (event("7-1", full), f"data: {full}\n\n".replace("'", '"').encode())
    with canned(stream(token(1, "a")), *map(stream, blocks), stream(DONE)) as host:
        assert [item for item in read(host) if "Trying" not in item] == [
            *("a", "(Full.)", "(Full.)", "done")
        ]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"id: 7-2\ndata: {\n\n",
        b"id: 7-2\ndata: []\n\n",
        b'id: 7-2\ndata: {"type":5}\n\n',
        b"id: 7-2\ndata: " + b"[" * 100_000 + b"\n\n",
        b"data: \xff\n\n",
        b"data: " + b"x" * (MAX_BLOCK_BYTES + 1),
    ],
)
def test_rubbish_in_a_stream_is_a_cut(rubbish: bytes) -> None:
    """What is no event ends the connection, not the program, and the rest is asked for again."""
    with canned(stream(token(1, "a"), rubbish), stream(token(2, "b"), DONE)) as host:
        assert list(read(host)) == ["a", "b", "done"]


def test_stream_without_chunks_is_read_as_it_comes() -> None:
    """Behind a proxy that speaks HTTP/1.0 each event is there when it has been sent."""
    with canned(stream(token(1, "a"), chunked=False)) as host:
        events = TurnReader(HostClient(host.url, "t"), "s", message="hi").events()
        with closing(events):  # type: ignore[type-var] # a generator
            item = next(events)
        assert isinstance(item, Numbered)
        assert item.body["content"] == "a"


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "302 Found"])
@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"', b""])
def test_foreign_servers_answer_is_named(status: str, body: bytes) -> None:
    """A URL that leads to something else is told so, for streams and for calls."""
    with canned(answer(body, status), answer(body, status)) as host:
        assert list(read(host)) == ["!foreign_answer"]
        with pytest.raises(Refused, match="Is the URL right"):
            HostClient(host.url, "t").session("s")


def test_proxy_without_a_host_is_waited_for() -> None:
    """A proxy's page for a host that it cannot reach is a refusal that may pass."""
    page = answer(b"<html>", "502 Bad Gateway")
    with canned(stream(token(1, "a")), page, stream(DONE)) as host:
        notice = "(The server answered with status 502. Trying again.)"
        assert list(read(host)) == ["a", notice, "done"]


def test_calls_are_tried_again() -> None:
    """Calls survive a lost answer and a passing refusal, and give up after a few of them."""
    busy = refusal("503 Busy", "at_capacity")
    good = answer(b'{"ok":true,"cancelled":true,"turn_id":"3"}')
    with canned(LOST, busy, good, *[LOST] * 20) as host:
        client = HostClient(host.url, "t")
        assert client.cancel("s", 3) == 3
        with pytest.raises(ConnectionLost):
            client.answer("s", "r", value=True)
        assert len(host.requests) == 3 + client_module.CALL_TRIES
    with canned(refusal("401 Who", "unauthorized"), refusal("404 No", "not_found")) as host:
        with pytest.raises(Refused, match="unauthorized"):
            HostClient(host.url, "t").session("s")
        assert HostClient(host.url, "t").session("s") is None


def test_netrc_does_not_replace_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The token is sent even where the user's .netrc has something for the host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with canned(stream(DONE)) as host:
        assert list(read(host)) == ["done"]
        assert host.requests[0].headers["authorization"] == "Bearer t"
