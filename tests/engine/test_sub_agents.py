"""Sub-agents: what they do is told below the call that they work for, and is not the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.frames import check_turn, run_turn
from tests.support.reading import ReadingClient
from tests.support.shared_servers import SharedServers
from tests.support.turns import TurnBench
from wsgi_app import Status, Thinking, Token, ToolCall, ToolResult, Turn, current_turn
from wsgi_app.engine.turn.call import Call, inside_call
from wsgi_app.engine.turn.child import MAX_CHILD_DEPTH
from wsgi_app.engine.turn.children import MAX_OPEN_CHILDREN
from wsgi_app.engine.turn.steps import counted, withdraw
from wsgi_app.events import (
    AnyEvent,
    Done,
    Error,
    EventId,
    Handoff,
    Nested,
    NumberedEvent,
    decode_event,
    encode_event,
)
from wsgi_app.frames.merge import merge_text

CHILD = {"name": "finder", "steps": [{"text": "I look. "}, {"status": "busy"}, {"text": "Found."}]}


@pytest.fixture(scope="module")
def bench() -> TurnBench:
    """The engine."""
    return TurnBench()


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker."""
    return ReadingClient(servers.get())


def test_what_a_sub_agent_does_is_nested(client: ReadingClient) -> None:
    """Its events have its name and its call's id; the call and its result stand around them."""
    frames = run_turn(client, {"text": "A "}, {"child": CHILD}, {"text": "B"})
    place = {"parent": "child_1", "agent": "finder"}
    call = {"tool": "finder", "call_id": "child_1"}
    told = [frame.data for frame in frames]
    assert told[1].pop("input")["input"]
    assert told[:-1] == [
        {"type": "token", "content": "A "},
        {"type": "tool_call", **call, "status": "running"},
        {**place, "type": "token", "content": "I look. "},
        {**place, "type": "status", "content": "busy"},
        {**place, "type": "token", "content": "Found."},
        {"type": "tool_result", **call, "output": "I look. Found.", "status": "complete"},
        {"type": "token", "content": "B"},
    ]
    assert told[-1]["reply"] == "A B"


def test_the_history_has_the_call_alone(client: ReadingClient) -> None:
    """The next turn's agent sees a tool's call and result, and people the turn's own text."""
    session = new_session()
    run_turn(client, {"child": CHILD}, {"text": "Done."}, session=session)
    with client.chat(session, {"tell": "history"}) as stream:
        history = [frame.data for frame in stream][-1]["reply"]
    assert "I look. Found." in history
    assert "busy" not in history
    messages = client.session(session)["messages"]
    assert messages[1] == {"role": "assistant", "content": "Done."}


def test_a_cursor_within_a_sub_agent_gets_the_rest(client: ReadingClient) -> None:
    """A reader that returns in the middle of what a sub-agent says gets exactly what is missing."""
    session = new_session()
    frames = run_turn(client, {"child": CHILD}, {"text": "B"}, session=session)
    rest = client.replay(session, frames[2].id or "")
    assert [frame.data for frame in rest] == [frame.data for frame in frames[3:]]
    polled = client.poll(session, frames[1].id or "", 0)["events"]
    assert [event["id"] for event in polled] == [frame.id for frame in frames[2:]]
    assert polled[0]["parent"] == "child_1"
    check_turn(frames)


def _nested(events: list[AnyEvent]) -> list[tuple[str, str, str]]:
    return [
        (one.parent, one.agent, getattr(one.event, "content", type(one.event).__name__))
        for one in events
        if isinstance(one, Nested)
    ]


def test_calls_of_a_sub_agent_are_nobody_elses(bench: TurnBench) -> None:
    """Models number their calls alike: within a sub-agent an id begins with its own call's."""

    def agent(turn: Turn) -> Iterator[Any]:
        yield ToolCall("ask_finder", "call_0", {})
        with turn.child("finder", "call_0") as finder:
            finder.emit(ToolCall("look", "call_0", {}))
            with finder.child("reader", "call_0") as reader:
                reader.emit("deep")
            finder.emit(ToolResult("look", "call_0", 1))
        yield ToolResult("ask_finder", "call_0", "found")

    events = bench.run(agent)
    assert [one.event.call_id for one in _tools(events)] == ["call_0.call_0"] * 2
    assert ("call_0.call_0", "reader", "deep") in _nested(events)
    assert isinstance(events[-1], Done)


def _tools(events: list[AnyEvent]) -> list[Any]:
    return [
        one
        for one in events
        if isinstance(one, Nested) and isinstance(one.event, (ToolCall, ToolResult))
    ]


def test_a_sub_agent_of_a_tool_works_for_its_call(bench: TurnBench) -> None:
    """Made within a tool, it needs no call of its own; code in it finds its turn."""

    def tool() -> None:
        with current_turn().child("finder", message="look") as finder:
            assert current_turn() is finder
            assert finder.message == "look"
            current_turn().emit(Thinking("hm"))
            with finder.child("reader") as reader:  # in no tool of the finder's
                reader.emit("deep")

    def agent(turn: Turn) -> Iterator[Any]:
        yield ToolCall("ask", "c", {})
        with inside_call(Call("key", "c", "ask", 1)):
            tool()
        assert current_turn() is turn
        yield ToolResult("ask", "c", None)

    assert _nested(bench.run(agent)) == [
        ("c", "finder", "hm"),
        ("c", "finder", "ToolCall"),
        ("c.child_2", "reader", "deep"),
        ("c", "finder", "ToolResult"),
    ]


def test_sub_agents_work_side_by_side(bench: TurnBench) -> None:
    """In threads each one's events are its own, and a tool in it finds its turn."""
    meet = threading.Barrier(2, timeout=10)

    def work(turn: Turn, name: str) -> None:
        with turn.child(name) as child:
            for number in range(20):
                meet.wait()
                current_turn().emit(f"{name}{number} ")
            child.check()

    def agent(turn: Turn) -> str:
        waits = [turn.start_thread(partial(work, turn, name)) for name in ("a", "b")]
        for wait in waits:
            wait.result(10)
        return "both"

    events = bench.run(agent)
    results = [one for one in events if isinstance(one, ToolResult)]
    said = {one.tool: one.output for one in results}
    assert said == {n: "".join(f"{n}{i} " for i in range(20)) for n in ("a", "b")}
    assert isinstance(events[-1], Done)
    assert events[-1].reply == "both"


def test_one_that_fails_has_a_failed_call(bench: TurnBench) -> None:
    """Its exception is the agent's to take; nothing stays open, and the turn may go on."""

    def agent(turn: Turn) -> Iterator[Any]:
        for _ in range(MAX_OPEN_CHILDREN + 1):
            with suppress(ValueError), turn.child("finder"):
                int("secret")
        yield "never mind"

    events = bench.run(agent)
    results = [one for one in events if isinstance(one, ToolResult)]
    assert len(results) == MAX_OPEN_CHILDREN + 1
    assert {one.status for one in results} == {"error"}
    assert "secret" not in str(events)
    assert isinstance(events[-1], Done)


def _deep(turn: Turn, levels: int) -> None:
    if levels:
        with turn.child("one") as child:
            _deep(child, levels - 1)


def _wide(turn: Turn, count: int) -> None:
    if count:
        with turn.child("one"):
            _wide(turn, count - 1)


@pytest.mark.parametrize(
    ("make", "most"), [(_deep, MAX_CHILD_DEPTH), (_wide, MAX_OPEN_CHILDREN)], ids=["deep", "wide"]
)
def test_sub_agents_are_bounded(
    bench: TurnBench, make: Callable[[Turn, int], None], most: int
) -> None:
    """As many as may be are, one more ends the turn with an error that says so."""
    assert isinstance(bench.run(lambda turn: make(turn, most))[-1], Done)
    end = bench.run(lambda turn: make(turn, most + 1))[-1]
    assert isinstance(end, Error)
    assert "at most" in end.message


@pytest.mark.parametrize("name", ["", "n" * 1025, 5])
def test_odd_names_are_refused(bench: TurnBench, name: Any) -> None:
    """A name is some text, and not too much of it."""

    def agent(turn: Turn) -> None:
        with turn.child(name):
            raise AssertionError("it has no name")

    end = bench.run(agent)[-1]
    assert isinstance(end, Error)
    assert "1 to 1024" in end.message


@pytest.mark.parametrize(
    "event",
    [
        Nested("c", "a", Token('","parent":"')),
        Nested("c.d", "ü", ToolResult("t", "c.d.e", {"parent": "x", "agent": "y"})),
        Handoff("b takes over", "b"),
        ToolCall("t", "c", {"parent": "x", "agent": "y"}),
    ],
)
def test_events_come_back_as_they_were(event: AnyEvent) -> None:
    """What the store holds of an event is the event."""
    assert decode_event(encode_event(event)) == event


def test_text_is_joined_with_its_own(bench: TurnBench) -> None:
    """For a slow reader, text of one sub-agent is joined, and with no other text."""
    del bench
    told: list[AnyEvent] = [
        Token("a"),
        Nested("c", "x", Token("b")),
        Nested("c", "x", Token("c")),
        Nested("c", "y", Token("d")),
        Nested("d", "y", Thinking("e")),
        Nested("d", "y", Thinking("f")),
        Nested("d", "y", Status("g")),
        Token("h"),
    ]
    joined = list(merge_text(_numbered(told)))
    assert [decode_event(one.json) for one in joined] == [
        Token("a"),
        Nested("c", "x", Token("bc")),
        Nested("c", "y", Token("d")),
        Nested("d", "y", Thinking("ef")),
        Nested("d", "y", Status("g")),
        Token("h"),
    ]
    assert [one.id.seq for one in joined] == [1, 3, 4, 6, 7, 8]


def _numbered(events: list[AnyEvent]) -> list[NumberedEvent]:
    return [
        NumberedEvent(EventId(1, seq), event, encode_event(event))
        for seq, event in enumerate(events, 1)
    ]


def test_what_runs_again_is_taken_back() -> None:
    """Behind a lost worker a call without a result runs again: what it had said counts no more."""
    told: list[AnyEvent] = [
        ToolCall("ask", "c", {}),
        ToolCall("ask", "d", {}),
        Nested("c", "x", Token("half ")),
        Nested("c", "x", ToolCall("ask", "c.e", {})),
        Nested("c.e", "y", Token("deeper ")),
        Nested("d", "x", Token("whole ")),
        ToolResult("ask", "d", 1),
        Nested("c", "x", Token("behind ")),
    ]
    events = _numbered(told)
    withdrawn = withdraw(events, EventId(1, 7))
    assert withdrawn.calls == ["c", "c.e"]
    left = counted([*events, NumberedEvent(EventId(1, 1_000_001), withdrawn, b"")])
    assert left == [*told[:2], *told[5:7]]
