"""Starting a turn: as a stream, as one JSON answer, and what each of them looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, chat_body, new_session
from tests.support.frames import check_turn, run_turn, types_of
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.sse import Stream, text_of

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "x-turn-id": "1",
}
#: What an answer tells that starts a turn, whatever its format.
START_HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-request-id")
#: What the server itself adds.
SERVER_HEADERS = {"server", "date", "connection", "transfer-encoding"}
STREAMS = [
    None,
    "",
    "*/*",
    "text/event-stream",
    "text/event-stream, application/json",
    "application/json, text/event-stream",
    "application/json, text/plain, */*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "application/json;q=0.5, text/event-stream;q=0.6",
    "image/png",
    "nonsense",
    "application/json;q=0",
]
JSONS = [
    "application/json",
    "APPLICATION/JSON",
    "application/*",
    "application/json, text/plain",
    "application/json, */*;q=0.1",
    "application/json, text/event-stream;q=0.9",
]


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker that is quick to keep alive and to time out."""
    env = {"AGENT_KEEPALIVE_SECONDS": "0.2", "AGENT_TURN_TIMEOUT_SECONDS": "3"}
    with gunicorn("tests.support.apps:scripted_app()", threads=16, env=env) as server:
        yield ReadingClient(server)


@pytest.mark.parametrize("accept", STREAMS)
def test_a_turn_is_streamed_by_default(client: ReadingClient, accept: str | None) -> None:
    """Unless the client prefers JSON it gets a stream, never 406."""
    headers = {} if accept is None else {"Accept": accept}
    answer = client.call("POST", f"/chat/{new_session()}", chat_body(), headers=headers)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == STREAM_HEADERS["content-type"]


@pytest.mark.parametrize("accept", JSONS)
def test_who_prefers_json_gets_it(client: ReadingClient, accept: str) -> None:
    """A higher weight for JSON than for streams means one JSON answer."""
    session = new_session()
    body = chat_body({"text": "Hello "}, {"usage": 2}, {"text": "you"})
    answer = client.call("POST", f"/chat/{session}", body, headers={"Accept": accept})
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Session-Id"] == session
    assert answer.headers["X-Turn-Id"] == "1"
    assert answer.json == {
        "session_id": session,
        "turn_id": "1",
        "reply": "Hello you",
        "usage": {"input_tokens": 2, "output_tokens": 2, "total_tokens": 4},
    }


@pytest.mark.parametrize(
    ("steps", "status", "code"),
    [
        ([{"raise": "ValueError"}], 500, "agent_error"),
        ([{"rubbish": "number"}], 500, "agent_error"),
        ([{"raise": "TurnError"}], 500, "agent_error"),
        ([{"blobs": 100}], 500, "output_too_large"),
        ([{"raise": "UpstreamError"}], 502, "upstream_error"),
        ([{"hold": 1}], 504, "turn_timeout"),
        ([{"raise": "step_limit"}], 500, "step_limit"),
    ],
)
def test_json_mode_has_a_status_for_each_end(
    client: ReadingClient, steps: list[dict[str, Any]], status: int, code: str
) -> None:
    """A turn that fails is an error answer with its own status, in the one shape of errors."""
    session = new_session()
    answer = client.chat_json(session, *steps)
    check_refusal(answer, status, code)
    assert answer.headers["X-Session-Id"] == session
    assert answer.headers["X-Turn-Id"] == "1"


def test_json_mode_reports_a_cancel(client: ReadingClient) -> None:
    """A turn that is cancelled while it is waited for is 409 `cancelled`."""
    session = new_session()
    with client.stream("POST", "/chat", chat_body({"hold": 1}, session_id=session)) as watching:
        watching.wait_comments(1)
        answer = client.call(
            "POST",
            f"/chat/{session}",
            chat_body({"text": "x"}, if_busy="interrupt"),
            headers=WANTS_JSON,
        )
        assert answer.json["reply"] == "x"
        assert watching.until("cancelled")[-1].data["reason"] == "interrupted"


def test_a_stream_has_these_headers_and_no_other(client: ReadingClient) -> None:
    """No hop-by-hop header, no length, nothing that lets a proxy keep or change the bytes."""
    session = new_session()
    with client.chat(session, {"text": "x"}) as stream:
        headers = {name.lower(): value for name, value in stream.headers.items()}
        list(stream)
    own = {name: value for name, value in headers.items() if name not in SERVER_HEADERS}
    for name in START_HEADERS:
        assert own.pop(name), name
    vary = own.pop("vary", "")
    assert own == {**STREAM_HEADERS, "x-session-id": session}
    assert "accept-encoding" not in vary.lower()
    assert headers["transfer-encoding"] == "chunked"


def test_the_first_bytes_come_before_the_agent_does_anything(client: ReadingClient) -> None:
    """A comment opens the stream at once, however long the agent takes."""
    session = new_session()
    with client.chat(session, {"hold": 1}) as stream:
        assert stream.wait_comments(1, seconds=1)[0].text == "connected"
        client.cancel(session)


def test_silence_is_filled_with_keep_alives(client: ReadingClient) -> None:
    """Every AGENT_KEEPALIVE_SECONDS of silence brings one comment line, behind events too."""
    session = new_session()
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        comments = stream.wait_comments(6)
        assert {comment.text for comment in comments[1:]} == {"keep-alive"}
        pauses = [b.at - a.at for a, b in zip(comments[1:], comments[2:])]
        assert all(0.1 < pause < 0.6 for pause in pauses), pauses
        client.cancel(session)
        assert types_of(list(stream)) == ["cancelled"]


def test_the_reconnect_time_stands_in_the_first_block_alone(client: ReadingClient) -> None:
    """`retry:` comes once, about two seconds, jittered, with the first event."""
    retries = set()
    for _ in range(5):
        frames = run_turn(client, {"text": "a"}, {"text": "b"})
        assert [frame.retry is not None for frame in frames] == [True, False, False]
        retries.add(frames[0].retry)
    assert all(retry is not None and 1000 <= retry <= 3000 for retry in retries)
    assert len(retries) > 1


def test_named_events_have_an_event_line(client: ReadingClient) -> None:
    """`?named=1` names each event for addEventListener; without it there is no such line."""
    steps: list[dict[str, Any]] = [{"text": "x"}, {"tool": {"name": "t", "output": 1}}]
    with client.chat(new_session(), *steps, query="?named=1") as stream:
        frames = list(stream)
    assert [frame.event for frame in frames] == types_of(frames)
    assert types_of(frames) == ["token", "tool_call", "tool_result", "done"]
    for query in ("", "?named=0"):
        with client.chat(new_session(), *steps, query=query) as stream:
            assert {frame.event for frame in stream} == {None}


def test_events_look_as_documented(client: ReadingClient) -> None:
    """Each event's JSON has its type and fields; fields without a value are left out."""
    session = new_session()
    steps: list[dict[str, Any]] = [
        {"events": ["status", "thinking"]},
        {"tool": {"name": "look", "input": {"at": "it"}, "output": [1, None]}},
        {"text": "done"},
    ]
    assert [frame.data for frame in run_turn(client, *steps, session=session)] == [
        {"type": "status", "content": "busy"},
        {"type": "thinking", "content": "hm"},
        {
            "type": "tool_call",
            "tool": "look",
            "call_id": "call-1",
            "input": {"at": "it"},
            "status": "running",
        },
        {
            "type": "tool_result",
            "tool": "look",
            "call_id": "call-1",
            "output": [1, None],
            "status": "complete",
        },
        {"type": "token", "content": "done"},
        {
            "type": "done",
            "reply": "done",
            "session_id": session,
            "turn_id": "1",
            "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        },
    ]


def test_batches_merge_the_tokens_of_a_window(client: ReadingClient) -> None:
    """`?batch_ms=` sends fewer frames with the same text; tools and ends do not wait."""
    steps: list[dict[str, Any]] = [
        {"tokens": 50, "pause": 0.01},
        {"tool": {"name": "t", "output": 1}},
        {"text": "end"},
    ]
    with client.chat(new_session(), *steps, query="?batch_ms=200") as stream:
        frames = list(stream)
    assert text_of(frames) == frames[-1].data["reply"]
    assert frames[-1].id == "1-54"
    tokens = [frame for frame in frames if frame.data["type"] == "token"]
    assert 2 <= len(tokens) <= 12
    assert types_of(frames)[-4:] == ["tool_call", "tool_result", "token", "done"]
    ids = [tuple(map(int, (frame.id or "").split("-"))) for frame in frames]
    assert ids == sorted(set(ids))
    assert frames[-1].at - tokens[-1].at < 0.15


def test_a_turn_may_name_its_session_in_the_body(client: ReadingClient) -> None:
    """`POST /chat` with a session id is the same session as by the path."""
    session = new_session()
    client.chat_json(session, {"text": "one"})
    answer = client.call("POST", "/chat", chat_body(session_id=session), headers=WANTS_JSON)
    assert (answer.json["session_id"], answer.json["turn_id"]) == (session, "2")


def test_the_host_names_a_new_session(client: ReadingClient) -> None:
    """`POST /chat` without a session id makes a new one, told in the headers and in `done`."""
    names = set()
    for _ in range(3):
        with client.stream("POST", "/chat", chat_body({"text": "x"})) as stream:
            name = header(stream, "x-session-id")
            frames = list(stream)
        check_turn(frames)
        assert frames[-1].data["session_id"] == name
        assert re.fullmatch(r"[A-Za-z0-9._~-]{16,128}", name)
        assert client.session(name)["messages"][-1]["content"] == "x"
        names.add(name)
    assert len(names) == 3


def header(stream: Stream, name: str) -> str:
    """A header of the answer."""
    found = {key.lower(): value for key, value in stream.headers.items()}
    return found[name]


def test_head_of_a_stream_is_its_headers_alone(client: ReadingClient) -> None:
    """HEAD tells what GET would, sends no body, and takes no slot for longer."""
    session = new_session()
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        for _ in range(30):
            answer = client.call("HEAD", f"/chat/{session}/events")
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["Content-Type"] == STREAM_HEADERS["content-type"]
            assert answer.headers["X-Turn-Id"] == "1"
        client.cancel(session)
        assert types_of(list(stream)) == ["cancelled"]
    assert client.call("HEAD", f"/chat/{session}/events").status == 204


def test_the_answer_is_utf_8_whatever_the_text(client: ReadingClient) -> None:
    """Line separators, NUL and emoji pass through a stream as they are."""
    text = "a\u2028b\u2029c\x85d\r\ne\x00f\U0001f600\ufeff"
    frames = run_turn(client, {"text": text})
    assert frames[0].data["content"] == text
    assert frames[-1].data["reply"] == text
