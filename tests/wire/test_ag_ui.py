"""AG-UI: requests into turns, turns into runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pytest

from tests.wire.openai_logs import golden, numbered
from wsgi_app.events import (
    LOST_SEQ,
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    Gap,
    InputRequest,
    NumberedEvent,
    Status,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    encode_event,
)
from wsgi_app.frames.merge import merge_text
from wsgi_app.wires.ag_ui.encode import Run, RunEncoder
from wsgi_app.wires.ag_ui.request import InterruptId, RunBody, read_answers
from wsgi_app.wires.shared.asked import NO_RESULT

RUN: Final = Run("thread-1", "run-1", "0123456789ab")
OLD_RUN: Final = RUN._replace(speaks_1=False)
HI: Final = {"role": "user", "content": "hi"}
_DONE: Final = Done("Hello", "s", "1", Usage(3, 2, 5))
_CALL: Final = ToolCall("remove", "c1", {"name": "notes"})

LOGS: Final[dict[str, tuple[AnyEvent, ...]]] = {
    "text": (
        *(Status("busy"), Thinking("Hm"), Thinking("m."), Token(""), Token("Hel"), Token("lo")),
        *(Thinking("So."), Token("!"), _DONE),
    ),
    "tool": (
        *(Token("Let me look. "), ToolCall("add", "c1", {"a": 2}), ToolCall("read", "c2", {})),
        *(ToolResult("read", "c2", {"error": "no file"}, "error"), ToolResult("add", "c1", "5")),
        *(ToolCall("add", "c1", {}), ToolResult("add", "c1", None), ToolResult("add", "c9", [1])),
        *(ToolCall("add", "c1", {}), ToolCall("add", "c1", {}), Token("It is 5."), _DONE),
    ),
    "error": (Token("Hel"), Error("turn_timeout", "The turn took too long.", {"secret": 1})),
    "cancel": (Token("Hel"), _CALL, Cancelled("user")),
    "question": (Token("Well."), InputRequest("q1", "Which?", {"type": "string"})),
    "approval": (
        _CALL,
        InputRequest("q1", "Allow it?", {"type": "boolean", "x-call-id": "c1"}),
    ),
}
REST: Final = (ToolResult("remove", "c1", "removed"), Token("That "), Token("was all."), _DONE)


def transcript(
    events: Sequence[NumberedEvent], run: Run = RUN, after_question: str | None = None
) -> bytes:
    """All bytes of a run, up to the question that waits at its end."""
    encoder = RunEncoder(run, after_question)
    frames = encoder.opening() + b"".join(map(encoder.encode, events))
    return frames + (b"" if encoder.question is None else encoder.end_for_answer())


def told(frames: bytes) -> list[dict[str, Any]]:
    """The events in a transcript."""
    return [json.loads(line[6:]) for line in frames.decode().split("\n\n") if line]


@pytest.mark.parametrize("name", LOGS)
def test_each_turn_makes_its_golden_run(name: str) -> None:
    """The bytes of each kind of turn are the golden ones, each time that it is read."""
    events = numbered(LOGS[name])
    assert transcript(events) == golden("ag_ui", name)
    assert transcript(events) == transcript(events)


@pytest.mark.parametrize("name", ["cancel", "question"])
def test_an_older_client_gets_what_it_knows(name: str) -> None:
    """Before 1.0 a cancelled run is an error, and a question is text."""
    events = numbered(LOGS[name])
    assert transcript(events, OLD_RUN) == golden("ag_ui", f"{name}_before_1_0")


@pytest.mark.parametrize("name", LOGS)
def test_merged_text_has_the_same_ids(name: str) -> None:
    """Merging changes how the text is cut, and nothing else."""

    def joined(frames: bytes) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for event in told(frames):
            is_more = events and "delta" in event and event["type"].endswith("MESSAGE_CONTENT")
            if is_more and events[-1]["type"] == event["type"]:
                events[-1]["delta"] += event["delta"]
            else:
                events.append(event)
        return events

    events = numbered(LOGS[name])
    merged = transcript(list(merge_text(events)))
    assert joined(merged) == joined(transcript(events))


def test_a_resumed_run_is_the_rest_of_the_turn() -> None:
    """What follows the answer comes in a run of its own, which names the calls as the first did."""
    events = numbered((*LOGS["approval"], *REST))
    resumed = transcript(events, RUN._replace(run_id="run-2"), "q1")
    assert resumed == golden("ag_ui", "resumed")
    whole = told(transcript(events))
    assert told(resumed)[1:] == [
        event | ({"runId": "run-2"} if "runId" in event else {}) for event in whole[4:]
    ]


def test_an_end_is_sent_without_its_question() -> None:
    """A run that resumes hears of the turn's end even if its question is not kept any more."""
    for end, last in ((_DONE, "RUN_FINISHED"), (Error("worker_lost", "Lost."), "RUN_ERROR")):
        frames = transcript(numbered((Gap("1-0", "1-5"), Token("x"), end), 4), RUN, "q1")
        assert [event["type"] for event in told(frames)] == ["RUN_STARTED", last]


def test_a_gap_ends_what_was_open() -> None:
    """Missing events are told, and what comes behind them is a message of its own."""
    gap = NumberedEvent(EventId(1, 8), Gap("1-1", "1-9"), encode_event(Gap("1-1", "1-9")))
    frames = transcript([*numbered((Token("a"),)), gap, *numbered((Token("b"), _DONE), 9)])
    kinds = [(event["type"], event.get("messageId")) for event in told(frames)]
    assert kinds[3:6] == [
        ("TEXT_MESSAGE_END", "msg-0123456789ab-1"),
        ("CUSTOM", None),
        ("TEXT_MESSAGE_START", "msg-0123456789ab-9"),
    ]


def test_a_lost_turn_closes_what_was_open() -> None:
    """The end that is written for a dead worker leaves no call without a result."""
    events = [*numbered((_CALL,)), *numbered((Error("worker_lost", "Lost."),), LOST_SEQ)]
    result, end = told(transcript(events))[-2:]
    assert (result["type"], result["content"]) == ("TOOL_CALL_RESULT", NO_RESULT)
    assert end == {"type": "RUN_ERROR", "message": "Lost.", "code": "worker_lost"}


def body(**fields: Any) -> RunBody:
    """A request, as it is read."""
    made = {"threadId": "t", "runId": "r", "messages": [HI], **fields}
    return msgspec.convert(made, RunBody)


def test_only_the_newest_message_of_the_user_counts() -> None:
    """Text alone of the last user's message is taken, whatever stands around it."""
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, 5, {"type": "text", "text": "b"}]
    messages = [HI, {"role": "user", "content": parts}, {"role": "assistant", "content": "x"}]
    assert body(messages=messages).newest_message() == "a\nb"
    assert body(messages=messages).count_user_messages() == 2
    for empty in ([], [HI | {"content": ""}], [{"role": "tool", "content": "5"}]):
        assert body(messages=empty).newest_message() == ""
    with pytest.raises(ValueError, match="images and documents"):
        body(messages=messages).newest_media()
    assert body(messages=[HI]).newest_media() == []


def test_the_page_reaches_the_agent() -> None:
    """Forwarded properties, state and context are the turn's metadata; the first one wins."""
    fields = {"state": {"n": 1}, "context": [{"description": "d", "value": "v"}], "tools": [{}]}
    assert body(**fields, forwardedProps={"a": 1, "state": 2}).metadata() == {
        "state": 2,
        "context": fields["context"],
        "a": 1,
    }
    assert body(state={}, context=[], forwardedProps="x").metadata() == {}


@pytest.mark.parametrize(
    ("version", "speaks"),
    [(None, False), ("1.0", True), ("2.1", True), ("0.9", False), ("x", False)],
)
def test_versions(version: str | None, speaks: bool) -> None:  # noqa: FBT001 - the expected answer
    """A client that declares no version is one from before 1.0."""
    assert body(protocolVersion=version).speaks_1 is speaks


@pytest.mark.parametrize(
    ("kind", "status", "payload", "value"),
    [
        ("input", "resolved", {"a": 1}, {"a": 1}),
        ("input", "resolved", {"approved": True}, {"approved": True}),
        ("input", "cancelled", "x", None),
        ("approval", "resolved", True, True),
        ("approval", "resolved", {"approved": True, "editedArgs": {}}, True),
        ("approval", "resolved", {"approved": False, "reason": "yes"}, "No: yes"),
        ("approval", "resolved", {"approved": "true"}, False),
        ("approval", "resolved", "yes", "yes"),
        ("approval", "resolved", None, False),
        ("approval", "resolved", 1, False),
        ("approval", "cancelled", True, False),
    ],
)
def test_answers(kind: str, status: str, payload: Any, value: Any) -> None:
    """An approval comes to yes, no, or no with a reason; any other answer is taken as it is."""
    interrupt = InterruptId(kind, 3, "0123456789ab", "q1")
    entry = {"interruptId": str(interrupt), "status": status, "payload": payload}
    strangers = [{"interruptId": name} for name in ("", "q1", "input-0-0123456789ab-q1", "a\nb")]
    resume = body(resume=[*strangers, entry]).resume
    assert resume is not None
    assert read_answers(resume) == [(interrupt, value)]
