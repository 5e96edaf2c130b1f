"""MCP and A2A: turns into calls' and tasks' events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from wsgi_app.events import (
    LOST_SEQ,
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    Gap,
    InputRequest,
    MarkedEvent,
    NumberedEvent,
    Status,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    encode_event,
)
from wsgi_app.wires.a2a.encode import TaskBuilder, TaskEncoder
from wsgi_app.wires.a2a.request import Message as A2aMessage
from wsgi_app.wires.a2a.request import Part, TaskRef, note_of, read_note, speaks
from wsgi_app.wires.mcp.encode import CallEncoder
from wsgi_app.wires.mcp.forms import answer_of, form_of
from wsgi_app.wires.mcp.request import (
    Asks,
    Message,
    QuestionName,
    StreamPosition,
    elicits,
    header_value,
)
from wsgi_app.wires.shared.answers import answer_from_text

REF: Final = TaskRef("s", 3)
DONE: Final = Done("Hello", "s", "3", Usage(3, 2, 5))


def at(seq: int, event: AnyEvent) -> NumberedEvent:
    """An event of the third turn."""
    return NumberedEvent(EventId(3, seq), event, encode_event(event))


def in_turn(*events: AnyEvent) -> list[NumberedEvent]:
    """Events of the third turn, from its first on."""
    return [at(seq, event) for seq, event in enumerate(events, 1)]


def data_of(frames: bytes) -> list[Any]:
    """What frames hold."""
    lines = frames.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


# -- A2A


def task_frames(*events: NumberedEvent) -> tuple[list[Any], TaskBuilder]:
    """The events of a task's stream, and the task."""
    builder = TaskBuilder(REF, [], at=0.0)
    encoder = TaskEncoder(builder, lambda event: event)
    return [one for event in events for one in data_of(encoder.encode(event))], builder


def shown(frames: Sequence[Any]) -> str:
    """What a client shows of the reply: chunks are appended, or take its position."""
    text = ""
    for frame in frames:
        update = frame.get("artifactUpdate")
        if update is not None:
            chunk = update["artifact"]["parts"][0]["text"]
            text = text + chunk if update.get("append") else chunk
    return text


def states(frames: Sequence[Any]) -> list[str]:
    """The states that a stream has told, without what they have in common."""
    updates = [frame["statusUpdate"] for frame in frames if "statusUpdate" in frame]
    return [update["status"]["state"].removeprefix("TASK_STATE_") for update in updates]


def test_a_task_goes_from_working_to_completed() -> None:
    """Its text comes in chunks, calls and thoughts are the agent's own, the usage comes last."""
    call, result = ToolCall("t", "c", {}), ToolResult("t", "c", 1)
    frames, builder = task_frames(
        *in_turn(Thinking("hm"), Token("Hel"), call, result, Status("busy"), Token("lo"), DONE)
    )
    assert states(frames) == ["WORKING", "WORKING", "COMPLETED"]
    assert shown(frames) == "Hello"
    assert frames[-1]["statusUpdate"]["metadata"]["usage"]["total_tokens"] == 5
    assert builder.document()["artifacts"][0]["parts"] == [{"text": "Hello"}]


def test_what_another_worker_takes_back_is_replaced() -> None:
    """The artifact comes once more with what still counts, and the rest behind it."""
    took_over = at(1_000_001, Withdrawn("3-1"))
    before = in_turn(Token("Hel"), Token("no"), Token("nsense"))
    frames, _ = task_frames(*before, took_over, at(1_000_002, Token("lo")), at(1_000_003, DONE))
    assert shown(frames) == "Hello"
    assert shown(frames[:-3]) == "Hel"


@pytest.mark.parametrize(
    "events",
    [
        # Its middle is no longer kept.
        [at(1, Token("Hel")), at(8, Gap("3-1", "3-9")), at(9, DONE)],
        # A merged piece reaches over the position that counts.
        [at(3, Token("Hel no")), at(1_000_001, Withdrawn("3-1")), at(1_000_002, DONE)],
        [at(1, DONE)],
    ],
)
def test_the_whole_reply_is_exact_at_the_end(events: list[NumberedEvent]) -> None:
    """Where the pieces are not all of it, it comes whole."""
    frames, builder = task_frames(*events)
    assert shown(frames) == "Hello"
    assert builder.document()["artifacts"][0]["parts"] == [{"text": "Hello"}]


@pytest.mark.parametrize(
    ("event", "state", "text"),
    [
        (Error("worker_lost", "It is gone.", {}, retryable=True), "FAILED", "It is gone."),
        (Cancelled("user"), "CANCELED", "The turn was cancelled."),
    ],
)
def test_other_ends_have_their_state(event: AnyEvent, state: str, text: str) -> None:
    """With what there is to say; a task that said nothing has no artifact."""
    frames, builder = task_frames(at(LOST_SEQ, event))
    assert states(frames) == [state]
    assert frames[0]["statusUpdate"]["status"]["message"]["parts"] == [{"text": text}]
    assert "artifacts" not in builder.document()
    assert builder.ended


def test_a_tasks_id_is_read_back() -> None:
    """Sessions' ids may hold dots; anything else is no task."""
    for ref in (TaskRef("a.b.1", 12), TaskRef("~", 1)):
        assert TaskRef.parse(str(ref)) == ref
    for wrong in ("", "s", "s.0", "s.01", "s.-1", "a/b.1", "..1", f"{'s' * 129}.1", "s.1\n"):
        with pytest.raises(ValueError, match="task"):
            TaskRef.parse(wrong)


def test_what_is_kept_of_a_message() -> None:
    """All but bytes, and nothing of one that is too much; other wires' notes are none."""
    parts = [Part(text="look"), Part(raw="AA==", media_type="image/png", filename="a.png")]
    message = A2aMessage("m", "ROLE_USER", parts)
    (kept,) = read_note(note_of(message), REF)
    assert kept["parts"] == [{"text": "look"}, {"text": "(attached: a.png image/png)"}]
    assert (kept["taskId"], kept["contextId"], kept["role"]) == ("s.3", "s", "ROLE_USER")
    assert note_of(A2aMessage("m", "ROLE_USER", [Part(text=70_000 * "x")])) == b""
    for other in (b"", b"[]", b"{}", b"x"):
        assert read_note(other, REF) == []


def test_patches_of_a_version_do_not_count() -> None:
    """1.0 and all of its patches; nothing else, and not nothing."""
    assert all(map(speaks, ("1.0", "1.0.0", "1.0.12")))
    assert not any(map(speaks, ("", "1", "1.1", "0.3", "2.0", "1.0.", "1.0\n")))


# -- MCP


def make_encoder(
    progress: Any = "p", asks: Asks = "text", *, stateless: bool = False
) -> CallEncoder:
    """An encoder of a call's stream from its start."""
    position = StreamPosition("s", 3, 0, "", 7, progress, asks, stateless)
    return CallEncoder(position, {"name": "agent", "version": "1"}, lambda text: f"signed {text}")


def test_a_call_sends_text_as_progress() -> None:
    """Tokens and status lines, each once, under ids that say where to go on; at last the result."""
    encoder = make_encoder()
    first = at(1, Token("Hel"))
    marked = MarkedEvent(first.id, first.event, first.json, "0123456789ab")
    frames = [encoder.encode(event) for event in (marked, at(2, Status("busy")), at(3, DONE))]
    told = [one for frame in frames for one in data_of(frame)]
    assert [one["params"]["message"] for one in told[:2]] == ["Hel", "busy"]
    assert [one["params"]["progress"] for one in told[:2]] == [1, 2]
    assert told[2]["id"] == 7
    assert told[2]["result"]["structuredContent"]["reply"] == "Hello"
    position = StreamPosition.parse(frames[1].decode().partition("id: ")[2].partition("\n")[0])
    assert (position.turn, position.seq, position.mark, position.token) == (
        3,
        2,
        "0123456789ab",
        "p",
    )


def test_without_a_token_only_the_result_is_sent() -> None:
    """Who did not ask for progress gets none."""
    encoder = make_encoder(None)
    assert encoder.encode(at(1, Token("Hel"))) == b""
    assert len(data_of(encoder.encode(at(2, DONE)))) == 1
    assert make_encoder().opening(primes=False) == b""
    assert make_encoder().opening(primes=True).endswith(b"data: \n\n")


def test_what_was_taken_back_is_not_said_before_a_question() -> None:
    """A question in text comes behind what still counts."""
    encoder = make_encoder()
    for event in (
        at(1, Token("no")),
        at(1_000_001, Withdrawn("3-0")),
        at(1_000_002, Token("Hm. ")),
    ):
        encoder.encode(event)
    encoder.encode(at(1_000_003, InputRequest("r", "Which?")))
    encoder.end_for_answer()
    assert encoder.answer is not None
    assert encoder.answer["result"]["structuredContent"]["reply"] == "Hm. "


def test_a_stateless_question_is_a_result() -> None:
    """It names the question, signed, and the form."""
    encoder = make_encoder(asks="result", stateless=True)
    encoder.encode(at(4, InputRequest("r", "Go on?", {"type": "boolean", "x-call-id": "c"})))
    encoder.end_for_answer()
    assert encoder.answer is not None
    result = encoder.answer["result"]
    assert result["requestState"] == "signed 3.4.b.r.s"
    form = result["inputRequests"]["question"]["params"]
    assert form["requestedSchema"]["properties"] == {"answer": {"type": "boolean"}}


@pytest.mark.parametrize(
    ("schema", "kind", "content", "answer"),
    [
        (None, "v", {"answer": "x"}, "x"),
        ({"type": "boolean"}, "b", {"answer": True}, True),
        ({"type": "integer"}, "v", {"answer": 3}, 3),
        ({"type": "string", "enum": ["a"]}, "v", {"answer": "a"}, "a"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "o", {"a": "x"}, {"a": "x"}),
        ({"type": "object", "properties": {"a": {"type": "object"}}}, "j", {"answer": "[1]"}, [1]),
        ({"type": "array"}, "j", {"answer": "no json"}, "no json"),
    ],
)
def test_questions_are_forms(schema: Any, kind: str, content: Any, answer: Any) -> None:
    """Flat ones as they are, all others as one field."""
    question = InputRequest("r", "?") if schema is None else InputRequest("r", "?", schema)
    form = form_of(question)
    assert form.kind == kind
    assert form.schema["type"] == "object"
    assert answer_of(kind, {"action": "accept", "content": content}) == answer
    assert not answer_of(kind, {"action": "decline"})
    assert not answer_of(kind, None)


@pytest.mark.parametrize(
    ("schema", "text", "answer"),
    [
        (None, "5", "5"),
        ({"type": "string"}, "5", "5"),
        ({"type": "boolean"}, "yes", "yes"),
        ({"type": "integer"}, "5", 5),
        ({"type": "object"}, '{"a":1}', {"a": 1}),
        ({"type": "object"}, "just so", "just so"),
    ],
)
def test_text_answers_what_was_asked(schema: Any, text: str, answer: Any) -> None:
    """As JSON where the question wants that, else as it is."""
    question = InputRequest("r", "?") if schema is None else InputRequest("r", "?", schema)
    assert answer_from_text(question, text) == answer


def test_names_are_read_back() -> None:
    """Places and questions, of whatever session; anything else is neither."""
    position = StreamPosition(
        "a.b~", 3, 17, "0123456789ab", "é" * 20, 2**53, "stream", stateless=False
    )
    assert StreamPosition.parse(str(position)) == position
    name = QuestionName("b", "00ff", "a.b.c")
    assert QuestionName.parse(str(name)) == name
    for wrong in ("", "x.r.s", "b..s", "b.r.", "b.r./", 5, None):
        with pytest.raises(ValueError, match="question"):
            QuestionName.parse(wrong)
    for wrong in (
        "",
        "e30",
        str(position)[:-4],
        str(position._replace(turn=0)),
        str(position._replace(session_id="..")),
    ):
        with pytest.raises(ValueError, match="event"):
            StreamPosition.parse(wrong)


def test_what_clients_say_of_themselves() -> None:
    """Forms are shown by who says so; headers may be in base64; odd tokens are none."""
    assert elicits({"elicitation": {}})
    assert elicits({"elicitation": {"form": {}, "url": {}}})
    assert not any(map(elicits, ({}, None, {"elicitation": {"url": {}}}, {"elicitation": True})))
    assert header_value("=?base64?YXNr?=") == "ask"
    assert (header_value("ask"), header_value(None), header_value("=?base64?!?=")) == (
        *("ask", None, "=?base64?!?="),
    )
    for token, found in (("p", "p"), (0, 0), (True, None), (1.5, None), ("x" * 300, None)):
        message = Message("2.0", 1, "ping", {"_meta": {"progressToken": token}})
        assert message.progress_token == found
