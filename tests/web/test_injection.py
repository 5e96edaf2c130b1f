"""Text of users, models and tools breaks out of no frame, no header and no line of the log."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from simple_websocket import Client as WebSocket

from tests.support.client import WANTS_JSON, new_session
from tests.support.injection_app import HOSTILE, MARK
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn
from tests.support.sse import Frame, Stream

HOST_HEADERS = {
    *("server", "date", "connection", "transfer-encoding", "content-type", "cache-control"),
    *("x-accel-buffering", "x-session-id", "x-turn-id", "x-vercel-ai-ui-message-stream"),
    *("content-length", "x-request-id"),
    *("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
}
#: Behind these the native names are told by each stream of the native routes.
NATIVE = ("", "?named=1", "?wire=agentflow", "?batch_ms=200")


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker, configured as the stand-alone app is."""
    app = "tests.support.injection_app:site()"
    env = {"AGENT_MAX_TURNS_PER_TENANT": "1000", "AGENT_DRAIN_SECONDS": "0.5"}
    config = ROOT / "gunicorn.conf.py"
    with gunicorn(app, config=config, workers=1, threads=16, env=env) as server:
        yield ReadingClient(server)


def foreign(wire: str, message: str) -> tuple[str, dict[str, Any]]:
    """A request that brings a message in another wire."""
    said = {"role": "user", "content": message}
    if wire == "chat":
        return "/v1/chat/completions", {"model": "m", "messages": [said], "stream": True}
    if wire == "responses":
        return "/v1/responses", {"model": "m", "input": message, "stream": True}
    if wire == "ai-sdk":
        part = {"type": "text", "text": message}
        messages = [{"id": new_session(), "role": "user", "parts": [part]}]
        return "/ai-sdk/chat", {"id": new_session(), "messages": messages}
    version = {"protocolVersion": "1.0"} if wire == "ag-ui" else {}
    ids = {"threadId": new_session(), "runId": new_session()}
    return "/ag-ui", {**ids, "messages": [said], **version}


def read_whole(stream: Stream) -> list[Frame]:
    """All frames of a stream; the parser refuses what is not one."""
    with stream:
        frames = list(stream)
        assert stream.ended == "clean"
    check_headers(stream.headers)
    return frames


def check_headers(headers: dict[str, str]) -> None:
    """Fail unless these are the host's own headers, one value each."""
    assert {name.lower() for name in headers} <= HOST_HEADERS, headers
    assert MARK not in str(headers)


def strings(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def as_told(text: str) -> str:
    """A text as UTF-8 can hold it: half a character becomes the sign for one that is none."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_frames(frames: list[Frame], name: str) -> None:
    """Fail unless the hostile text came through as text, whole, and nowhere else."""
    documents = [json.loads(frame.text) for frame in frames if frame.text != "[DONE]"]
    text = as_told(HOSTILE[name])
    assert any(text in told for document in documents for told in strings(document)), name
    for frame in frames:
        assert MARK not in f"{frame.id} {frame.event}"
        assert frame.id is None or re.fullmatch(r"1-\d+", frame.id)
        # A strict reader of lines sees no more lines than we do.
        assert not set(frame.text) & {"\r", "\n", "\x00"}


@pytest.mark.parametrize("name", HOSTILE)
def test_native_frames_hold(client: ReadingClient, name: str) -> None:
    """Messages, tools' names, ids, inputs and outputs, and errors stay inside their frames."""
    session = new_session()
    for query in NATIVE[: 1 if name == "long" else None]:
        session = new_session()
        body = {"message": f"fail {name}"}
        frames = read_whole(client.stream("POST", f"/chat/{session}{query}", body))
        check_frames(frames, name)
        names = [frame.event for frame in frames]
        assert names.count("done") + names.count("error") == ("=" in query and "batch" not in query)
    check_frames(client.replay(session, "1-0"), name)
    many = client.stream("GET", f"/events?session={session}&last_event_id=1-0&named=1")
    with many:
        frames = many.until("done" if name == "long" else "error")
    check_headers(many.headers)
    check_frames(frames, name)
    for path in (f"/chat/{session}/poll?after=1-0", f"/session/{session}", "/sessions"):
        assert client.call("GET", path).headers["Content-Type"] == "application/json"
    assert as_told(HOSTILE[name]) in strings(client.poll(session, "1-0", 0))
    body = {"message": f"fail {name}"}
    answer = client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON)
    assert answer.headers["Content-Type"] == "application/json"
    check_headers(dict(answer.headers.items()))


@pytest.mark.parametrize("wire", ["chat", "responses", "ai-sdk", "ag-ui", "ag-ui before 1.0"])
@pytest.mark.parametrize("kind", ["fail", "ask"])
def test_foreign_frames_hold(client: ReadingClient, wire: str, kind: str) -> None:
    """The same in the wires of other clients, questions too."""
    names = [name for name in HOSTILE if kind == "fail" or name != "long"]
    for name in names:
        path, body = foreign(wire, f"{kind} {name}")
        frames = read_whole(client.stream("POST", path, body))
        check_frames(frames, name)
        if wire in ("chat", "responses") and name != "long":
            body["stream"] = False
            answer = client.call("POST", path, body)
            assert answer.headers["Content-Type"] == "application/json"
            json.loads(answer.body)


def test_websocket_frames_hold(client: ReadingClient) -> None:
    """Over a WebSocket each event is one message, and its id is the host's."""
    url = f"ws://127.0.0.1:{client.server.port}/agents/ws/chat/{new_session()}"
    with closing(WebSocket(url, headers={"Authorization": "Bearer dev"})) as connection:
        for turn, name in enumerate(HOSTILE, 1):
            connection.send(json.dumps({"type": "message", "content": f"fail {name}"}))
            told: list[Any] = []
            while not told or told[-1]["type"] not in ("error", "done"):
                told.append(json.loads(connection.receive(timeout=15) or ""))
            assert [one["id"] for one in told] == [f"{turn}-{n}" for n in range(1, len(told) + 1)]
            assert as_told(HOSTILE[name]) in strings(told)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_kept_as_text(client: ReadingClient, name: str) -> None:
    """A user's own text is refused, or kept as it is; it is never echoed by a refusal."""
    message = HOSTILE[name]
    session = new_session()
    answer = client.call(
        "POST", f"/chat/{session}", {"message": message, "metadata": {message: message}}
    )
    if name in ("long", "surrogates"):
        assert answer.status in (400, 413)
        assert MARK not in answer.body.decode()
        return
    assert b"agent_error" in answer.body  # the agent knows no such text
    (kept, *_) = client.session(session)["messages"]
    assert kept == {"role": "user", "content": message}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "long"])
def test_names_and_headers_are_refused_without_an_echo(client: ReadingClient, name: str) -> None:
    """No wire takes a hostile session id, cursor, key or field, nor tells it again."""
    hostile = HOSTILE[name]
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/chat", {"message": "x", "session_id": hostile}),
        ("POST", "/chat/s/input", {"request_id": hostile, "value": hostile}),
        ("POST", "/chat/s/cancel", {"turn_id": hostile}),
        ("POST", "/ag-ui", {"threadId": hostile, "runId": "r", "messages": []}),
        ("POST", "/ai-sdk/chat", {"id": hostile, "messages": []}),
        ("POST", "/v1/responses", {"input": "x", "previous_response_id": hostile}),
        ("POST", "/v1/chat/completions", {"messages": [{"role": hostile, "content": "x"}]}),
    ]
    for method, path, body in requests:
        answer = client.call(method, path, body)
        assert 400 <= answer.status < 500, path
        told = answer.body.decode() + str(answer.headers.items())
        assert hostile not in told
        assert answer.headers["Content-Type"].startswith(("application/json", "text/plain"))
    resume = [{"interruptId": hostile, "payload": hostile}]
    ids = {"threadId": "s", "runId": hostile[:200]}
    answer = client.call("POST", "/ag-ui", {**ids, "messages": [], "resume": resume})
    assert answer.status in (400, 409)


RAW_HEADERS = [
    b"Last-Event-ID: 1-0\r\n\r\nGET /page HTTP/1.1",
    b"Last-Event-ID: 1-0\nX-Evil: PWNED",
    b"Last-Event-ID: \xff\xfePWNED",
    b"Last-Event-ID: data: PWNED",
    b"Last-Event-ID: 1-0\x00PWNED",
    b"Last-Event-ID: 1-0\r\n PWNED: folded",
    b"Idempotency-Key: a\rb PWNED",
    b"Idempotency-Key: \xe2\x80\xa8PWNED",
    b"Idempotency-Key: a\tPWNED",
    b"Idempotency-Key: " + 300 * b"PWNED",
    b"X-Request-Id: a\x0bPWNED",
]


@pytest.mark.parametrize("header", RAW_HEADERS)
def test_hostile_headers_split_nothing(client: ReadingClient, header: bytes) -> None:
    """A header's value reaches no header and no frame of the answer."""
    for request, body in (
        (b"GET /agents/chat/s/events", b""),
        (b"POST /agents/chat/h", b'{"message":"x"}'),
    ):
        sent = b"\r\n".join(
            [
                request + b" HTTP/1.1",
                *(b"Host: x", b"Authorization: Bearer dev", b"Accept: text/event-stream"),
                *(b"Content-Type: application/json", b"Content-Length: %d" % len(body)),
                *(b"Connection: close", header, b"", body),
            ]
        )
        with socket.create_connection(("127.0.0.1", client.server.port), timeout=15) as connection:
            connection.sendall(sent)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        head, _, _ = answer.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 [2345]\d\d ", head)
        assert MARK.encode() not in head
        assert b"X-Evil" not in answer


def test_log_lines_are_lines(client: ReadingClient) -> None:
    """What was asked for above, and hostile paths, make one line of the log each."""
    paths = [
        "a%0aPWNED",
        "a%0d%0aPWNED",
        "%1b[2JPWNED",
        "a%e2%80%a8PWNED%c2%85PWNED",
        "%00%22PWNED",
    ]
    for path in paths:
        assert client.call("GET", f"/chat/{path}/events?ticket=%0aPWNED").status in (404, 422)
    log = client.server.log()
    assert "/agents/chat/a%0APWNED/events" in log
    assert "%0aPWNED" not in log  # no query
    forged = [line for line in log.splitlines() if line.startswith(MARK)]
    assert forged == []
