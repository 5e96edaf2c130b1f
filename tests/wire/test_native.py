"""The native wire's bytes, plain, named and among many sessions."""

from __future__ import annotations

import json

import pytest

from tests.wire.openai_logs import LOGS, golden, numbered
from wsgi_app.wires.native.encode import encode_frame, encode_session_frame, with_id

KINDS = ["text", "tool", "error", "cancel", "question"]


@pytest.mark.parametrize("name", KINDS)
def test_each_turn_makes_its_golden_frames(name: str) -> None:
    """The bytes of each kind of turn are the golden ones, each time that it is read."""
    for _ in range(2):
        assert b"".join(map(encode_frame, numbered(LOGS[name]))) == golden("native", name)


@pytest.mark.parametrize("name", KINDS)
def test_a_named_frame_differs_by_its_name_alone(name: str) -> None:
    """`?named=1` adds the event's type as a line, and changes nothing else."""
    for event in numbered(LOGS[name]):
        lines = encode_frame(event, named=True).split(b"\n")
        kind = json.loads(event.json)["type"].encode()
        assert [line for line in lines if line != b"event: " + kind] == encode_frame(event).split(
            b"\n"
        )


@pytest.mark.parametrize("name", KINDS)
def test_among_many_sessions_each_frame_names_its_own(name: str) -> None:
    """The fields are the native ones, with the event's id and session; the id is the cursor."""
    for event in numbered(LOGS[name]):
        frame = encode_session_frame(event, "s-9", "1-1,2-2").decode()
        first, data, *rest = frame.split("\n")
        assert (first, rest) == ("id: 1-1,2-2", ["", ""])
        told = json.loads(data.removeprefix("data: "))
        own = {"session_id": told["session_id"]}
        assert told == {**with_id(event), **own}
        assert own["session_id"] == json.loads(event.json).get("session_id", "s-9")
