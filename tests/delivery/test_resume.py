"""Readers that are cut off and come back."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.reading import ReadingClient
from tests.support.shared_servers import SharedServers
from wsgi_app.events import EventId

TOKENS = 120
PAUSE_SECONDS = 0.004
STEPS = (
    {"tokens": TOKENS // 2, "pause": PAUSE_SECONDS},
    {"tool": {"name": "look", "output": {"found": [1, 2]}}},
    {"tokens": TOKENS // 2, "pause": PAUSE_SECONDS},
)
REPLY = "".join(f"w{number} " for number in range(1, TOKENS // 2 + 1)) * 2

Events = list[tuple[str, dict[str, Any]]]
#: Reads some events behind a cursor; True when the turn's end is among them.
ReadSome = Callable[[ReadingClient, str, str, random.Random], tuple[Events, bool]]


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A host with more slots than the tests have readers."""
    return ReadingClient(servers.get())


def read_stream(
    client: ReadingClient, session_id: str, after: str, chance: random.Random
) -> tuple[Events, bool]:
    """Attach, read a random number of frames, and break off."""
    events: Events = []
    with client.events(session_id, after) as stream:
        for frame in stream:
            assert frame.id
            events.append((frame.id, frame.data))
            if chance.random() < 0.08:
                stream.abort()
                return events, frame.data["type"] == "done"
    return events, True


def read_poll(
    client: ReadingClient, session_id: str, after: str, chance: random.Random
) -> tuple[Events, bool]:
    """Poll once, for a random time."""
    answer = client.poll(session_id, after, round(chance.uniform(0, 0.2), 3))
    events = [(event.pop("id"), event) for event in answer["events"]]
    assert answer["next"] == (events[-1][0] if events else after)
    return events, not answer["running"]


def read_mixed(
    client: ReadingClient, session_id: str, after: str, chance: random.Random
) -> tuple[Events, bool]:
    """Either, at random."""
    return chance.choice([read_stream, read_poll])(client, session_id, after, chance)


def check(events: Events) -> None:
    """The events are the agent's, each once, in order, under ids without a hole."""
    tokens = [data["content"] for _, data in events if data["type"] == "token"]
    assert "".join(tokens) == REPLY
    kinds = [data["type"] for _, data in events if data["type"] != "token"]
    assert kinds == ["tool_call", "tool_result", "done"]
    assert events[-1][1]["reply"] == REPLY
    # Merged tokens bear the last id of what they merge: no id twice, and the count tells of holes.
    ids = [EventId.parse(event_id) for event_id, _ in events]
    assert ids == sorted(set(ids))
    assert ids[-1].seq == TOKENS + 3
    words = sum(content.count(" ") for content in tokens)
    assert words == TOKENS


@pytest.mark.parametrize(
    ("read_some", "turns"),
    [
        (read_mixed, 25),
        *(pytest.param(read, 100, marks=pytest.mark.slow) for read in (read_stream, read_poll)),
        pytest.param(read_mixed, 100, marks=pytest.mark.slow),
    ],
)
def test_reader_cut_at_random_gets_every_event_once(
    client: ReadingClient, read_some: ReadSome, turns: int
) -> None:
    """However often and wherever its reader is cut, a turn is read without a hole or a double."""

    def run_turn(number: int) -> None:
        chance = random.Random(f"{read_some.__name__} {number}")  # noqa: S311 - repeatable cuts
        session_id = f"{read_some.__name__}-{turns}-{number}"
        events: Events = []
        with client.chat(session_id, *STEPS) as stream:
            for frame in stream:
                events.append((frame.id or "", frame.data))
                if chance.random() < 0.1:
                    break
        ended = events[-1][1]["type"] == "done"
        while not ended:
            more, ended = read_some(client, session_id, events[-1][0], chance)
            events += more
        check(events)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run_turn, range(turns)))


def test_finished_turn_replays_the_same_from_every_event(client: ReadingClient) -> None:
    """After the end, a replay from any id is exactly the rest."""
    with client.chat("replayed", *STEPS) as stream:
        frames = list(stream)
    everything = [(frame.id, frame.data) for frame in frames]
    for index in range(0, len(frames) - 1, 7):
        rest = client.replay("replayed", frames[index].id or "")
        merged = [(frame.id, frame.data) for frame in rest]
        if len(merged) == len(everything) - index - 1:
            assert merged == everything[index + 1 :]
        assert merged[-1] == everything[-1]
    with client.events("replayed", frames[-1].id) as nothing:
        assert nothing.status == 204


def test_slow_reader_gets_piled_up_tokens_merged(client: ReadingClient) -> None:
    """Tokens that pile up come in fewer frames, with nothing lost and tools untouched."""
    with client.chat("piled", {"tokens": 3000}, *STEPS) as stream:
        frames = list(stream)
    words = [f.data["content"] for f in frames if f.data["type"] == "token"]
    assert sum(content.count(" ") for content in words) == 3000 + TOKENS
    assert [f.data["type"] for f in frames if f.data["type"] != "token"] == [
        "tool_call",
        "tool_result",
        "done",
    ]
    replayed = client.replay("piled", "1-0")
    assert len(replayed) < 3000 / 10
    assert "".join(f.data.get("content", "") for f in replayed) == frames[-1].data["reply"]


def test_reader_follows_one_turn_after_the_other(client: ReadingClient) -> None:
    """An attached reader goes on into queued turns, in order, and ends with the newest."""
    with (
        client.chat("row", {"tokens": 20, "pause": 0.02}) as first,
        client.chat("row", {"text": "second"}, if_busy="enqueue") as second,
        client.events("row", "0-0") as reader,
    ):
        frames = list(reader)
        ids = [EventId.parse(frame.id or "") for frame in frames]
        assert ids == sorted(set(ids))
        assert {event_id.turn for event_id in ids} == {1, 2}
        assert [f.data["reply"] for f in frames if f.data["type"] == "done"][1] == "second"
        assert {frame.id for frame in second} == {"2-1", "2-2"}
        assert [f.data["type"] for f in first][-1] == "done"
