"""What each wire makes of a turn with which another worker went on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.wire.test_openai_chat import COMPLETION
from tests.wire.test_openai_responses import ABOUT, REF
from wsgi_app.engine.turn.steps import counted, number_events
from wsgi_app.events import (
    AnyEvent,
    Done,
    EventId,
    Nested,
    NumberedEvent,
    Status,
    Token,
    ToolCall,
    ToolResult,
    Withdrawn,
    encode_event,
)
from wsgi_app.wires.ag_ui.encode import Run, RunEncoder
from wsgi_app.wires.ai_sdk.encode import MessageStream
from wsgi_app.wires.langgraph.encode.events import Rewound, ThreadEncoder, TurnStart
from wsgi_app.wires.langgraph.encode.messages import Names, human
from wsgi_app.wires.langgraph.encode.run import RunEncoder as LangGraphRun
from wsgi_app.wires.langgraph.ids import RunRef
from wsgi_app.wires.langgraph.request.events import EventsBody, Subscription
from wsgi_app.wires.openai.encode.chat import ChatCollector, ChatEncoder
from wsgi_app.wires.openai.encode.responses import ResponseBuilder

EVENTS: list[AnyEvent] = [
    Token("See. "),
    ToolCall("add", "c1", {"a": 1}),
    ToolResult("add", "c1", 2),
    Token("It is t"),
    Withdrawn("1-3"),
    Status("Another worker goes on."),
    Token("It is two."),
    Done("See. It is two.", "s", "1"),
]
NESTED: list[AnyEvent] = [
    ToolCall("ask", "c1", {}),
    Nested("c1", "helper", Token("Ha")),
    Withdrawn("1-1"),
    Nested("c1", "helper", Token("Half.")),
    ToolResult("ask", "c1", "Half."),
    Done("", "s", "1"),
]
LOG: list[NumberedEvent] = number_events(1, map(encode_event, EVENTS))


def data_of(frames: bytes) -> list[dict[str, Any]]:
    """The JSON of all frames."""
    lines = frames.decode().splitlines()
    texts = [line[len("data: ") :] for line in lines if line.startswith("data: ")]
    return [json.loads(text) for text in texts if text != "[DONE]"]


def test_what_counts_is_the_reply() -> None:
    """The tokens that count, joined, are the reply, and ids of an attempt begin again."""
    assert [str(event.id) for event in LOG[3:6]] == ["1-4", "1-1000001", "1-1000002"]
    said = [event.content for event in counted(LOG) if isinstance(event, Token)]
    assert "".join(said) == "See. It is two."


def test_responses_close_the_item_and_open_another() -> None:
    """The text that is withdrawn is an incomplete item; what counts is in the others."""
    builder = ResponseBuilder(REF._replace(after_seq=0), ABOUT)
    numbers = [event.number for event in builder.opening()]
    for numbered in LOG:
        numbers += [event.number for event in builder.take(numbered)]
    assert numbers == sorted(set(numbers))
    items = [item for item in builder.document()["output"] if item["type"] == "message"]
    texts = [(item["status"], item["content"][0]["text"]) for item in items]
    assert texts == [
        ("completed", "See. "),
        ("incomplete", "It is t"),
        ("completed", "It is two."),
    ]


def test_a_whole_chat_completion_holds_what_counts() -> None:
    """A stream of chunks goes on behind what it has said; one document has the reply alone."""
    collector = ChatCollector(COMPLETION)
    assert [collector.take(numbered) for numbered in LOG][-1]
    message = collector.document()["choices"][0]["message"]
    assert message["content"] == "See. It is two."
    encoder = ChatEncoder(COMPLETION, include_usage=False)
    chunks = data_of(encoder.opening() + b"".join(map(encoder, LOG)))
    deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert "".join(deltas) == "See. It is tIt is two."


def test_ag_ui_begins_another_message() -> None:
    """What counts is in a message of its own, and an event tells what does not."""
    encoder = RunEncoder(Run("thread", "run", "tag", speaks_1=True))
    events = data_of(encoder.opening() + b"".join(encoder.encode(numbered) for numbered in LOG))
    texts: dict[str, str] = {}
    for event in events:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            texts[event["messageId"]] = texts.get(event["messageId"], "") + event["delta"]
    assert list(texts.values()) == ["See. ", "It is t", "It is two."]
    told = [event["value"] for event in events if event.get("name") == "withdrawn"]
    assert told == [{"after": "1-3"}]


def test_the_ai_sdk_begins_another_step() -> None:
    """What counts is in a step of its own, and data tells what does not."""
    stream = MessageStream("m-1")
    chunks = data_of(b"".join(stream.encode(numbered) for numbered in LOG))
    kinds = [chunk["type"] for chunk in chunks]
    at = kinds.index("data-withdrawn")
    assert chunks[at]["data"] == {"after": "1-3"}
    assert kinds[at - 2 : at] == ["text-end", "finish-step"]
    assert kinds[at + 2 : at + 5] == ["start-step", "text-start", "text-delta"]
    assert kinds.count("start-step") == kinds.count("finish-step")


MARK = "0" * 12
START = TurnStart(EventId(1, 0), Status(""), b"", MARK, 1, "h", (human("h", "hi"),))
NAMES = Names(lambda call_id: call_id, lambda tool: tool)


def rewound(log: Sequence[NumberedEvent] = LOG) -> list[NumberedEvent]:
    """The turn as LangGraph's encoders get it."""
    made: list[NumberedEvent] = [START]
    for place, numbered in enumerate(log):
        kept = tuple(counted(log[: place + 1]))
        is_rewound = isinstance(numbered.event, Withdrawn)
        told = (numbered.id, numbered.event, numbered.json)
        made.append(Rewound(*told, kept) if is_rewound else numbered)
    return made


def test_langgraph_sends_the_message_again() -> None:
    """Under its id, and the state holds what counts; events' numbers grow."""
    body = EventsBody(["messages", "values", "lifecycle"])
    encoder = ThreadEncoder(Subscription(body), NAMES)
    events = [one for numbered in rewound() for one in data_of(encoder.encode(numbered))]
    numbers = [one["seq"] for one in events]
    assert numbers == sorted(set(numbers))
    texts: dict[str, str] = {}
    message_id = ""
    for event in [one["params"]["data"] for one in events if one["method"] == "messages"]:
        if event["event"] == "message-start":
            message_id = event["id"]
            texts[message_id] = ""
        elif event["event"] == "content-block-delta":
            texts[message_id] += event["delta"]["text"]
    assert texts == {"h.1": "See. ", "h.2": "It is two."}
    last = [one["params"]["data"] for one in events if one["method"] == "values"][-1]
    assert [one["content"] for one in last["messages"]] == ["hi", "See. ", "2", "It is two."]


def test_langgraphs_sub_agents_begin_again() -> None:
    """What one said on the lost worker fails, and the next one's message is its own."""
    log = number_events(1, map(encode_event, NESTED))
    body = EventsBody(["messages", "values", "lifecycle"], namespaces=[["tools:c1"]])
    encoder = ThreadEncoder(Subscription(body), NAMES)
    events = [one for numbered in rewound(log) for one in data_of(encoder.encode(numbered))]
    assert {tuple(one["params"]["namespace"]) for one in events} == {("tools:c1",)}
    told = [(one["method"], one["params"]["data"]) for one in events]
    states = [data["event"] for method, data in told if method == "lifecycle"]
    assert states == ["started", "failed", "started", "completed"]
    messages = [data for method, data in told if method == "messages"]
    begun = [data["id"] for data in messages if data["event"] == "message-start"]
    assert len(set(begun)) == 2
    said = [data["delta"]["text"] for data in messages if data["event"] == "content-block-delta"]
    assert said == ["Ha", "Half."]
    values = [data["messages"] for method, data in told if method == "values"]
    assert [[one["content"] for one in state] for state in values] == [["Half."]]


def test_langgraph_runs_begin_another_message() -> None:
    """Clients add pieces to what they have under an id: what counts comes under another."""
    modes = frozenset({"values", "messages-tuple"})
    encoder = LangGraphRun(RunRef(1, 0, MARK), "t", modes, NAMES)
    frames: list[Any] = []
    for numbered in rewound():
        frames += data_of(encoder.encode(numbered))
    texts: dict[str, str] = {}
    for chunk in [one[0] for one in frames if isinstance(one, list)]:
        if chunk["type"] == "AIMessageChunk":
            texts[chunk["id"]] = texts.get(chunk["id"], "") + chunk["content"]
    assert texts == {"h.1": "See. ", "h.2": "It is t", "h.2~1": "It is two."}
    last = [one for one in frames if isinstance(one, dict) and "messages" in one][-1]
    assert [one["content"] for one in last["messages"]] == ["hi", "See. ", "2", "It is two."]
