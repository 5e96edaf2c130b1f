"""POST /probe: the host measures the way to its clients without asking a model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A host whose own agent would tell of being asked."""
    env = {"AGENT_TURN_TIMEOUT_SECONDS": "60", "AGENT_KEEPALIVE_SECONDS": "0.3"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        yield ReadingClient(server)


def test_frames_come_at_their_times(client: ReadingClient) -> None:
    """Each frame bears its number and time; in the silence before the last one are keep-alives."""
    body = {"frames": 3, "interval_ms": 50, "silence_seconds": 1}
    with client.stream("POST", "/probe", json=body) as stream:
        frames = list(stream)
        comments = stream.comments
    told = [json.loads(frame.data["content"]) for frame in frames[:-1]]
    assert [frame.data["type"] for frame in frames] == ["status"] * 4 + ["done"]
    assert [one["frame"] for one in told] == [1, 2, 3, 4]
    assert told[2]["at_seconds"] >= 0.1
    assert told[3]["at_seconds"] >= 1.15
    assert len(comments) >= 3
    assert stream.headers["x-keepalive-seconds"] == "0.3"
    assert stream.headers["x-turn-timeout-seconds"] == "60"
    assert stream.headers["x-session-id"].startswith("probe-")


def test_a_hang_up_ends_it_at_once(client: ReadingClient) -> None:
    """A probe whose client has gone is cancelled, without the orphan time."""
    with client.stream("POST", "/probe", json={"frames": 1, "silence_seconds": 50}) as stream:
        next(iter(stream))
        session_id = stream.headers["x-session-id"]
    client.wait_idle(session_id)
    [end] = client.replay(session_id, "1-1")
    assert (end.data["type"], end.data["reason"]) == ("cancelled", "disconnected")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"frames": 0}, "frames"),
        ({"frames": 101}, "frames"),
        ({"interval_ms": 1001}, "interval_ms"),
        ({"silence_seconds": 60}, "silence_seconds"),
        ({"message": "m"}, "message"),
    ],
)
def test_its_bounds(client: ReadingClient, body: dict[str, object], field: str) -> None:
    """What is out of bounds, or as long as a turn may be, is refused."""
    answer = client.call("POST", "/probe", body)
    assert (answer.status, answer.json["details"]["field"]) == (422, field)


def test_it_needs_a_login(client: ReadingClient) -> None:
    """Nobody without a token may have one."""
    answer = client.call("POST", "/probe", {}, headers={"Authorization": "Bearer wrong"})
    assert answer.status == 401


def test_as_one_answer(client: ReadingClient) -> None:
    """In JSON mode the answer comes after the silence."""
    headers = {"Accept": "application/json"}
    answer = client.call("POST", "/probe", {"frames": 1, "interval_ms": 0}, headers=headers)
    assert (answer.status, answer.json["reply"]) == (200, "")
