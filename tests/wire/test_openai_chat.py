"""Chat completions: requests into turns, turns into chunks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.wire.openai_logs import LOGS, golden, numbered
from wsgi_app.agents import answer_end
from wsgi_app.engine.turn.history import for_agent
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.errors import RequestError
from wsgi_app.events import Done, Error, FileGiven, Gap, Token, Withdrawn
from wsgi_app.frames.merge import merge_text
from wsgi_app.wires.openai.encode.chat import CUT_OFF, ChatCollector, ChatEncoder, Completion
from wsgi_app.wires.openai.encode.errors import error_object
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.chat import ChatCompletionBody
from wsgi_app.wires.openai.routes.turns import failed_turn, openai_error

COMPLETION = Completion("chatcmpl-1", "agent", 1, ResponseRef("s", 1, 0, 0, background=False))
HI = {"role": "user", "content": "hi"}


def transcript(name: str, *, merged: bool = False) -> bytes:
    """All bytes of a turn's stream."""
    encoder = ChatEncoder(COMPLETION, include_usage=True)
    events = numbered(LOGS[name])
    return encoder.opening() + b"".join(map(encoder, merge_text(events) if merged else events))


def read(*messages: dict[str, Any], **fields: Any) -> tuple[list[dict[str, Any]], str]:
    """What the body of a request comes to."""
    body = {"messages": messages, **fields}
    return msgspec.convert(body, ChatCompletionBody).read_messages()


@pytest.mark.parametrize("name", LOGS)
def test_each_turn_makes_its_golden_chunks(name: str) -> None:
    """The bytes of each kind of turn are the golden ones, each time that it is read."""
    assert transcript(name) == golden("openai_chat", name)
    assert transcript(name) == transcript(name)


@pytest.mark.parametrize("name", LOGS)
def test_the_whole_answer_says_what_its_chunks_say(name: str) -> None:
    """Streamed, merged and whole, an answer has the same text, end and token counts."""
    collector = ChatCollector(COMPLETION)
    assert [collector.take(event) for event in numbered(LOGS[name])][-1]
    for merged in (False, True):
        lines = transcript(name, merged=merged).decode().split("\n\n")
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        if "error" in chunks[-1]:
            error = collector.answer.error
            assert error is not None
            assert chunks[-1]["error"]["message"] == error.message
            continue
        whole = collector.document()
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        for field in ("content", "reasoning_content"):
            text = "".join(choice["delta"].get(field, "") for choice in choices)
            assert text == whole["choices"][0]["message"].get(field, "")
        assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
        assert chunks[-1].get("usage") == whole.get("usage")


def test_a_file_is_a_link_that_annotations_point_to() -> None:
    """Streamed and whole, each annotation has the place of its link."""
    collector, encoder = ChatCollector(COMPLETION), ChatEncoder(COMPLETION, include_usage=False)
    made = b""
    for event in numbered(LOGS["file"]):
        collector.take(event)
        made += encoder(event)
    chunks = [json.loads(line[6:]) for line in made.split(b"\n\n") if line[6:7] == b"{"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    notes = [note for delta in deltas for note in delta.get("annotations", ())]
    assert [note.pop("index") for note in notes] == [0, 1]
    message = collector.document()["choices"][0]["message"]
    assert message["annotations"] == notes
    cited = [note["url_citation"] for note in notes]
    links = [message["content"][one["start_index"] : one["end_index"]] for one in cited]
    assert links == [r"[a \[1\].csv](files/f1)", "[b.csv](files/f2)"]
    assert [(one["url"], one["title"]) for one in cited] == [
        ("files/f1", "a [1].csv"),
        ("files/f2", "b.csv"),
    ]


def test_a_file_that_was_taken_back_is_not_pointed_to() -> None:
    """Of an answer that another worker goes on with, what counts is told."""
    given, again = (FileGiven(name, "a.csv", "text/csv", 5) for name in ("f1", "f2"))
    collector = ChatCollector(COMPLETION)
    for event in numbered((Token("Here:"), given, Withdrawn("1-1"), again, Done("", "s", "1"))):
        collector.take(event)
    message = collector.document()["choices"][0]["message"]
    assert message["content"] == "Here:\n\n[a.csv](files/f2)\n\n"
    (note,) = message["annotations"]
    assert note["url_citation"]["start_index"] == 7


def test_missing_events_are_reported() -> None:
    """An answer whose beginning is no longer kept ends with an error, not as if it were whole."""
    encoder = ChatEncoder(COMPLETION, include_usage=False)
    (gap,) = numbered((Gap("1-0", "1-5"),), 4)
    assert b'"error":{"message":"The beginning of this answer is no longer kept."' in encoder(gap)
    assert encoder.ended


def test_the_cut_off_notice_is_the_models() -> None:
    """The words that mean a length limit are those that the built-in agent sends."""
    assert CUT_OFF == answer_end.CUT_OFF


def test_history_is_all_before_the_last_message() -> None:
    """The agent gets the client's whole conversation: instructions, parts' text, calls, results."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    other = {**call, "id": "c2"}
    history, message = read(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call, other], "refusal": None},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
        {"role": "tool", "tool_call_id": "c0", "content": "without a call"},
        {"role": "assistant", "content": "five", "name": "x"},
        HI,
        {"role": "system", "content": "In French."},
    )
    assert message == "hi"
    assert for_agent(history, 10_000) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": None, "tool_calls": [call, other]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
        {"role": "tool", "tool_call_id": "c2", "content": NO_RESULT},
        {"role": "assistant", "content": "five"},
        {"role": "system", "content": "In French."},
    ]


@pytest.mark.parametrize(
    ("messages", "fields", "field"),
    [
        ([{"role": "user", "content": ""}], {}, "messages"),
        ([{"role": "system", "content": "x"}], {}, "messages"),
        ([HI, {"role": "assistant", "content": "and"}], {}, "messages"),
        ([{"role": "robot", "content": "x"}, HI], {}, "messages.0.role"),
        ([{"role": ["user"], "content": "x"}, HI], {}, "messages.0.role"),
        ([{"role": "user", "content": 5}], {}, "messages.0.content"),
        ([{"role": "user", "content": ["x"]}], {}, "messages.0.content.0"),
        ([{"role": "user", "content": [{"type": "text"}]}], {}, "messages.0.content.0"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, "messages.0.content.0"),
        ([{"role": "tool", "content": "5"}, HI], {}, "messages.0.tool_call_id"),
        ([{"role": "assistant", "tool_calls": "x"}, HI], {}, "messages.0.tool_calls"),
        ([{"role": "assistant", "tool_calls": [{"id": "c"}]}, HI], {}, "messages.0.tool_calls"),
        ([HI], {"n": 2}, "n"),
    ],
)
def test_what_no_agent_can_answer_is_refused(
    messages: list[dict[str, Any]], fields: dict[str, Any], field: str
) -> None:
    """A request that the agent would not see as it is meant gets a refusal that names the place."""
    with pytest.raises(RequestError) as caught:
        read(*messages, **fields)
    assert caught.value.code == "invalid_request"
    assert caught.value.details["field"] == field


def test_errors_have_all_four_fields() -> None:
    """An error has the fields that both SDKs read, and says what is wrong with which field."""
    details = {"field": "n", "reason": "Expected 1"}
    assert error_object("invalid_request", "Not valid: n.", details, 400) == {
        "error": {
            "message": "Not valid: n. Expected 1.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_request",
        }
    }
    error = Error("turn_timeout", "Too long.", {"field": 3})
    told = error_object(error.code, error.message, error.details, 504)["error"]
    assert (told["type"], told["param"]) == ("server_error", None)


@pytest.mark.parametrize(
    ("code", "status", "retries"),
    [
        ("session_busy", 409, "false"),
        ("invalid_request", 400, "false"),
        ("internal_error", 500, "false"),
        ("at_capacity", 503, None),
        ("too_many_turns", 429, None),
    ],
)
def test_only_what_began_nothing_is_tried_again(
    code: str, status: int, retries: str | None
) -> None:
    """The SDKs come back for refusals that pass, when they are told to, and for no others."""
    answer = openai_error(RequestError(code, "No.", retry_after_seconds=7))
    assert answer.status_code == status
    assert answer.headers.get("x-should-retry") == retries
    assert answer.headers.get("Retry-After") == ("7" if retries is None else None)


def test_a_failed_turn_is_never_tried_again() -> None:
    """Another try would begin a second turn, even where the first was lost with its worker."""
    answer = failed_turn(Error("worker_lost", "The worker is gone."))
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
