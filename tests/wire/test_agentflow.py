"""Events under AgentFlow's names: their bytes, and streams that resume under them."""

from __future__ import annotations

import json

import pytest

from tests.support.agents import BLOB_CHARS
from tests.support.client import chat_body, new_session
from tests.support.reading import ReadingClient
from tests.support.shared_servers import SharedServers
from tests.support.sse import FrameParser
from tests.wire.openai_logs import LOGS, golden, numbered
from wsgi_app.events import LOST_SEQ, Error, Gap
from wsgi_app.frames.merge import merge_text
from wsgi_app.wires.agentflow.encode import encode_frame
from wsgi_app.wires.native.encode import encode_frame as encode_native

TURN = ({"events": ["status", "thinking"]}, {"tool": {"name": "add", "output": 5}}, {"tokens": 4})
NAMES = ["status", "thinking", "tool_start", "tool_end", *(4 * ["message_chunk"]), "done"]


@pytest.mark.parametrize("name", ["text", "tool", "error", "cancel", "question"])
def test_each_turn_makes_its_golden_frames(name: str) -> None:
    """The bytes of each kind of turn are the golden ones, each time that it is read."""
    made = b"".join(map(encode_frame, numbered(LOGS[name])))
    assert made == golden("agentflow", name)


def test_the_first_frame_may_carry_the_reconnect_time() -> None:
    """It stands in the block of the first event, where every client takes it."""
    (event,) = numbered((Gap("1-0", "1-5"),), 4)
    assert encode_frame(event, retry_milliseconds=2000) == (
        b"retry: 2000\nid: 1-4\nevent: gap\n"
        b'data: {"type":"gap","missed_after":"1-0","resumes_at":"1-5"}\n\n'
    )


@pytest.mark.parametrize("name", LOGS)
def test_ids_and_fields_are_the_native_ones(name: str) -> None:
    """Merged or not, a frame has the native one's id, and its fields but for the type."""
    events = [*merge_text(numbered(LOGS[name])), *numbered((Error("worker_lost", "x"),), LOST_SEQ)]
    for event in events:
        (mine,) = FrameParser().feed(encode_frame(event), 0)
        (native,) = FrameParser().feed(encode_native(event, named=True), 0)
        assert mine.id == native.id
        assert mine.data["type"] == mine.event
        if native.event != "cancelled":
            assert mine.data == {**native.data, "type": mine.event}


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker."""
    return ReadingClient(servers.get())


def test_both_routes_start_turns_in_it(client: ReadingClient) -> None:
    """A turn streams under the names, whichever route starts it."""
    session = new_session()
    with client.chat(session, *TURN, query="?wire=agentflow") as stream:
        assert [frame.event for frame in stream] == NAMES
    body = {**chat_body(*TURN), "session_id": session}
    with client.stream("POST", "/chat?wire=agentflow", body) as stream:
        assert [frame.event for frame in stream] == NAMES


def test_a_stream_is_read_on(client: ReadingClient) -> None:
    """Last-Event-ID resumes behind any event, and another wire reads the same ids."""
    session = new_session()
    with client.chat(session, *TURN, query="?wire=agentflow") as stream:
        frames = list(stream)
    for place, seen in enumerate(frames[:-1], 1):
        headers = {"Last-Event-ID": seen.id or ""}
        path = f"/chat/{session}/events?wire=agentflow"
        with client.stream("GET", path, headers=headers) as stream:
            rest = [(frame.id, frame.event, frame.text) for frame in stream]
        assert rest == [(frame.id, frame.event, frame.text) for frame in frames[place:]]
    assert [frame.id for frame in client.replay(session, "1-0")] == [frame.id for frame in frames]


def test_merged_chunks_lose_nothing(client: ReadingClient) -> None:
    """`batch_ms` joins chunks under the last id of what they join."""
    with client.chat(new_session(), {"blobs": 3}, query="?wire=agentflow&batch_ms=500") as stream:
        *chunks, done = stream
    text = "".join(json.loads(chunk.text)["content"] for chunk in chunks)
    assert len(text) == 3 * BLOB_CHARS
    assert text == done.data["reply"]
    assert chunks[-1].id == "1-3"


@pytest.mark.parametrize("wire", ["", "openai", "AgentFlow", "agentflow%0a", "native,agentflow"])
def test_unknown_wires_are_refused(client: ReadingClient, wire: str) -> None:
    """A name that is none starts no turn and opens no stream."""
    session = new_session()
    for method, path in (("POST", f"/chat/{session}"), ("GET", f"/chat/{session}/events")):
        answer = client.call(method, f"{path}?wire={wire}", {"message": "hi"})
        assert answer.status == 422
        assert answer.json["details"]["field"] == "wire"
    assert client.call("GET", f"/session/{session}").status == 404
    with client.chat(session, {"text": "x"}, query="?wire=native") as stream:
        assert [frame.event for frame in stream] == [None, None]
