"""What LangGraph's clients may send, and the names that lead back to a turn."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from wsgi_app.engine.turn.history import answer_messages
from wsgi_app.engine.turn.valid_messages import valid_id, valid_name
from wsgi_app.events import (
    AnyEvent,
    Done,
    InputRequest,
    RequestedCall,
    Steered,
    Token,
    ToolCall,
    ToolRequest,
    ToolResult,
)
from wsgi_app.wires.langgraph.encode.messages import Answer, Names, exchanges_of
from wsgi_app.wires.langgraph.encode.questions import answer_value, interrupt_value
from wsgi_app.wires.langgraph.ids import CheckpointRef, RunRef, event_number, turn_of
from wsgi_app.wires.langgraph.request.events import EventsBody, Subscription
from wsgi_app.wires.langgraph.request.input import read_input

MARK = "0123456789ab"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.mark.parametrize(
    "value",
    [
        "hi",
        {"messages": "hi"},
        {"messages": {"role": "user", "content": "hi"}},
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"type": "human", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": [["user", "hi"]]},
        {"messages": [{"type": "constructor", "kwargs": {"type": "human", "content": "hi"}}]},
        {"messages": [{"role": "user", "content": "older"}, "hi", {"type": "ai", "content": "x"}]},
    ],
)
def test_messages_in_all_forms(value: Any) -> None:
    """The newest of the user's, in whatever form LangChain takes it."""
    assert read_input(value, takes_attachments=False).message == "hi"


def test_what_is_beside_the_messages() -> None:
    """Goes to the agent; a state without messages is the message."""
    read = read_input({"messages": "hi", "topic": "birds"}, takes_attachments=False)
    assert (read.message, read.values) == ("hi", {"topic": "birds"})
    read = read_input({"topic": "birds"}, takes_attachments=False)
    assert (read.message, read.values) == ('{"topic":"birds"}', {"topic": "birds"})


@pytest.mark.parametrize(
    "value", [None, 5, [], {}, {"messages": []}, {"messages": [{"type": "ai"}]}]
)
def test_no_message_is_refused(value: Any) -> None:
    """A run has something to answer."""
    with pytest.raises(ValueError, match="Expected"):
        read_input(value, takes_attachments=False)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image", "url": f"data:image/png;base64,{PIXEL}"},
        {"type": "file", "data": PIXEL, "mime_type": "image/png", "metadata": {"name": "a.png"}},
    ],
)
def test_images_and_files(block: dict[str, Any]) -> None:
    """Come whole, as base64 or a data URL; an agent of text refuses them."""
    value = {"messages": [{"type": "human", "content": [{"type": "text", "text": "see"}, block]}]}
    (attachment,) = read_input(value, takes_attachments=True).attachments
    assert (attachment.media_type, attachment.data) == ("image/png", b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match="text alone"):
        read_input(value, takes_attachments=False)


def test_names_lead_back() -> None:
    """To a turn and a place in it; of any other form they are nobody's."""
    for ref in (RunRef(7, 2, MARK), RunRef(1, 0, MARK)):
        assert RunRef.parse(ref.id) == ref
    for checkpoint in (CheckpointRef(7, 3, MARK), CheckpointRef(7, 3, MARK).last()):
        assert CheckpointRef.parse(checkpoint.id) == checkpoint
    for wrong in ("", "x", CheckpointRef(1, 1, MARK).id, RunRef(1, 0, MARK).id[:-1]):
        with pytest.raises(ValueError, match="host's"):
            RunRef.parse(wrong)
    refs = [CheckpointRef(turn, step, MARK) for turn in (1, 2, 300) for step in (0, 1, 2)]
    assert [ref.id for ref in refs] == sorted(ref.id for ref in refs)


def test_numbers_grow_and_fit() -> None:
    """By turn, event and place; into the integers that JavaScript has."""
    places = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1_000_001, 0), (1, 1_000_000_000, 5), (2, 0, 0)]
    numbers = [event_number(*place) for place in places]
    assert numbers == sorted(set(numbers))
    assert [turn_of(number) for number in numbers] == [1, 1, 1, 1, 1, 2]
    assert event_number(500_000, 1_000_000_000, 127) < 2**53


def test_subscriptions() -> None:
    """By channel, by a custom event's name, and by namespace and depth."""
    wanted = Subscription(EventsBody(["custom:status"], [[], ["tools"]], 0))
    assert wanted.matches("custom", [], {"name": "status"})
    assert not wanted.matches("custom", [], {"name": "gap"})
    assert not wanted.matches("values", [], {})
    assert wanted.matches("custom", ["tools:7"], {"name": "status"})
    assert not wanted.matches("custom", ["tools:7", "deep"], {"name": "status"})
    assert EventsBody(["values", "debug"]).unknown_channel() == "debug"
    assert EventsBody(["custom:x"]).unknown_channel() is None
    assert EventsBody(["custom:"]).unknown_channel() == "custom:"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (True, True),
        ({"approved": False}, False),
        ({"decisions": [{"type": "approve"}]}, True),
        ({"decisions": [{"type": "reject", "message": "too dear"}]}, "No: too dear"),
        ([{"type": "accept"}], True),
        ({"type": "reject"}, False),
    ],
)
def test_yes_and_no(response: Any, answer: Any) -> None:
    """In the forms of LangChain's human in the loop, and plainly."""
    question = InputRequest("r", "May I?", {"type": "boolean"})
    assert answer_value(question, response) == answer
    assert interrupt_value(question)["action_requests"][0]["description"] == "May I?"
    assert answer_value(InputRequest("r", "Which?"), response) == response


ONE_CALL = [RequestedCall("c1", "paint", {"wall": 1})]


@pytest.mark.parametrize(
    ("response", "result"),
    [
        ("blue", {"output": "blue"}),
        ({"c1": "blue"}, {"output": "blue"}),
        ({"c1": {"error": "no brush"}}, {"output": "no brush", "is_error": True}),
        ({"colour": "blue"}, {"output": {"colour": "blue"}}),
        (None, {"output": None}),
        (["a", "b"], {"output": ["a", "b"]}),
    ],
)
def test_a_headless_tools_result(response: Any, result: Any) -> None:
    """A single call is LangChain's headless tool; its result comes alone, or by the call's id."""
    question = ToolRequest("r", "Waiting for paint.", calls=ONE_CALL)
    told = interrupt_value(question)
    assert (told["type"], told["toolCall"]["name"]) == ("tool", "paint")
    assert answer_value(question, response) == [{"call_id": "c1", **result}]


def test_results_of_several_calls() -> None:
    """By their calls' ids, or as a list, as on the host's own wire."""
    calls = [*ONE_CALL, RequestedCall("c2", "paint", {"wall": 2})]
    question = ToolRequest("r", "Waiting for paint.", calls=calls)
    assert "type" not in interrupt_value(question)
    given = [{"call_id": "c2", "output": "red"}]
    assert answer_value(question, given) == given
    assert answer_value(question, {"c2": "red"}) == given


TURNS: list[list[AnyEvent]] = [
    [Token("one")],
    [Token("So. "), ToolCall("add", "c1", {"a": 1}), ToolResult("add", "c1", 2), Token("Two.")],
    [
        *(ToolCall("a", "c1", {}), ToolCall("b", "c2", {}), Token("meanwhile ")),
        *(ToolResult("b", "c2", "x"), Token("and "), ToolResult("a", "c1", {"y": 1}), Token("end")),
    ],
    [ToolCall("a", "c1", {}), ToolResult("a", "c1", 1), ToolCall("a", "c1", {}), Token("open")],
    [ToolCall("no such name!", "c" * 60, {}), ToolResult("no such name!", "c" * 60, None)],
    [Token("a"), Steered("s1", "wait"), Steered("s1", "wait", "taken"), Token("b")],
    [ToolCall("a", "c1", {}), Steered("s1", "x", "taken"), ToolResult("a", "c1", 1), Token("b")],
    [Token("a"), Steered("s1", "never taken")],
    [Token(""), Token("x"), ToolCall("a", "c1", {})],
]


def random_turn(seed: int) -> list[AnyEvent]:
    """Text, calls, results of those that run, and what is said meanwhile, in any order."""
    chance = random.Random(seed)  # noqa: S311 - a test that can be repeated
    running: set[str] = set()
    events: list[AnyEvent] = []
    for _ in range(chance.randrange(1, 12)):
        call = f"c{chance.randrange(3)}"
        kind = chance.randrange(4)
        if kind == 0:
            events.append(Token(chance.choice(["", "x", "y "])))
        elif kind == 1:
            events.append(ToolCall("t", call, {}))
            running.add(call)
        elif kind == 2 and call in running:
            events.append(ToolResult("t", call, chance.choice(["r", 1])))
            running.remove(call)
        else:
            steer_id = f"s{chance.randrange(2)}"
            taken = Steered(steer_id, "q", "taken")
            events.append(chance.choice([Steered(steer_id, "q"), taken]))
    return events


@pytest.mark.parametrize("events", [*TURNS, *map(random_turn, range(300))])
def test_events_and_history_make_the_same_messages(events: list[AnyEvent]) -> None:
    """What a stream puts together is what the thread's state holds later, ids too."""
    answer = Answer("h", Names(valid_id, valid_name))
    for event in events:
        answer.take(event)
    answer.close()
    stored = [{"role": "user", "content": "hi", "id": "h"}]
    stored += answer_messages(events, Done("", "s", "1"))
    (exchange,) = exchanges_of(stored)
    assert exchange.messages[1:] == answer.messages
