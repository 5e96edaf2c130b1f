"""What holds for the frames of every turn."""

from __future__ import annotations

from typing import Any

from tests.support.agents import SECRET
from tests.support.client import Client, new_session
from tests.support.sse import Frame

TERMINAL = ("done", "error", "cancelled")


def run_turn(
    client: Client, *steps: dict[str, Any], session: str | None = None, **fields: Any
) -> list[Frame]:
    """Run a new session's turn to its end and check it; ``fields`` are more of the body."""
    with client.chat(session or new_session(), *steps, **fields) as stream:
        frames = list(stream)
        assert stream.ended == "clean"
    check_turn(frames)
    return frames


def check_turn(frames: list[Frame]) -> None:
    """Fail unless these are a turn's few frames: numbered from 1, one terminal event at the end.

    More than a few at once are merged, which leaves numbers out.
    """
    numbers = [tuple(map(int, (frame.id or "").split("-"))) for frame in frames]
    turn = numbers[0][0]
    assert numbers == [(turn, seq) for seq in range(1, len(frames) + 1)], numbers
    assert [frame for frame in frames if frame.data["type"] in TERMINAL] == [frames[-1]]
    assert not [frame for frame in frames if SECRET in frame.text]


def types_of(frames: list[Frame]) -> list[str]:
    """The events' types."""
    return [frame.data["type"] for frame in frames]
