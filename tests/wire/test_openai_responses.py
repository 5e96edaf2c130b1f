"""Responses: turns into items and events whose numbers do not depend on how they are read."""

from __future__ import annotations

import json
from typing import Any, Union

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from openresponses_types import types as strict
from openresponses_types.types import ResponseResource
from pydantic import TypeAdapter

from tests.wire.openai_logs import LOGS, golden, numbered
from wsgi_app.engine.turn.history import for_agent
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.errors import RequestError
from wsgi_app.events import (
    LOST_SEQ,
    AnyEvent,
    Cancelled,
    Done,
    Error,
    EventId,
    FileGiven,
    Gap,
    InputRequest,
    NumberedEvent,
    Status,
    Thinking,
    Token,
    ToolCall,
    ToolResult,
    encode_event,
)
from wsgi_app.frames.merge import merge_text
from wsgi_app.wires.openai.encode.document import ResponseAbout
from wsgi_app.wires.openai.encode.items import StreamEvent
from wsgi_app.wires.openai.encode.response_stream import ResponseEncoder
from wsgi_app.wires.openai.encode.responses import ResponseBuilder
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.responses import ResponseBody
from wsgi_app.wires.openai.routes.questions import answer_value

REF = ResponseRef("s", 1, 0, 1, background=False)
#: Of a request that asks for the host's calls as OpenAI's mcp_call items.
MCP = REF._replace(mcp=True)
ABOUT = ResponseAbout("agent")
#: All events that Open Responses knows.
_strict: Any = Union[
    tuple(
        model
        for name, model in vars(strict).items()
        if name.startswith("Response") and name.endswith("StreamingEvent")
    )
]
STRICT_EVENTS: TypeAdapter[Any] = TypeAdapter(_strict)
DELTAS = (
    "response.output_text.delta",
    "response.reasoning_summary_text.delta",
)

pieces = st.one_of(
    st.builds(Token, st.sampled_from(["one ", "two ", ""])),
    st.builds(Thinking, st.sampled_from(["hm ", ""])),
    st.builds(ToolCall, st.just("add"), st.sampled_from(["a", "b", ""]), st.just({"n": 1})),
    st.builds(
        ToolResult,
        st.just("add"),
        st.sampled_from(["a", "b"]),
        st.sampled_from([5, "five"]),
        st.sampled_from(["complete", "error"]),
    ),
    st.just(Status("busy")),
    st.just(FileGiven("f1", "a.csv", "text/csv", 5)),
)
ends: st.SearchStrategy[AnyEvent] = st.sampled_from(
    [
        Done("", "s", "1"),
        Cancelled("user"),
        Error("agent_error", "The agent failed."),
        InputRequest("q", "?"),
    ]
)
logs = st.tuples(st.lists(pieces, max_size=12), ends).map(lambda parts: (*parts[0], parts[1]))


def stream(events: list[NumberedEvent], ref: ResponseRef = REF) -> list[StreamEvent]:
    """All stream events of a response."""
    builder = ResponseBuilder(ref, ABOUT)
    return builder.opening() + [made for event in events for made in builder.take(event)]


def merged(events: list[NumberedEvent], cuts: list[int]) -> list[NumberedEvent]:
    """The events merged as a reader gets them that reads up to each of the cuts."""
    borders = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    parts = [events[a:b] for a, b in zip(borders, borders[1:])]
    return [event for part in parts for event in merge_text(part)]


def joined(events: list[StreamEvent]) -> list[tuple[str, Any]]:
    """A stream as its client understands it: the text of neighbouring deltas joined."""
    made: list[tuple[str, Any]] = []
    for event in events:
        if event.kind in DELTAS and made and made[-1][0] == event.kind:
            made[-1] = (event.kind, made[-1][1] + event.fields["delta"])
        else:
            made.append((event.kind, event.fields["delta"] if event.kind in DELTAS else event))
    return made


@pytest.mark.parametrize("name", LOGS)
def test_each_turn_makes_its_golden_events(name: str) -> None:
    """The bytes of each kind of turn are the golden ones, each time that it is read."""
    for _ in range(2):
        encoder = ResponseEncoder(ResponseBuilder(REF, ABOUT))
        made = encoder.opening() + b"".join(map(encoder, numbered(LOGS[name])))
        assert made == golden("openai_responses", name)
        assert encoder.ended


def test_a_call_that_asks_is_shown_whole_in_the_next_response() -> None:
    """A call that runs while it asks is incomplete first, and comes again with its result."""
    events = numbered(
        (
            ToolCall("paint", "c1", {"wall": 1}),
            ToolCall("add", "c2", {}),
            ToolResult("add", "c2", 5),
            InputRequest("q", "?"),
            ToolResult("paint", "c1", "no paint", "error"),
            Done("", "s", "1"),
        )
    )
    first, second = (
        stream(events, MCP._replace(after_seq=seq))[-1].fields["response"]["output"]
        for seq in (0, 4)
    )
    names = [(item["type"], item["name"], item["status"]) for item in first]
    assert names == [
        ("mcp_call", "paint", "incomplete"),
        ("mcp_call", "add", "completed"),
        ("function_call", "ask_user", "completed"),
    ]
    (paint,) = second
    assert (paint["arguments"], paint["status"]) == ('{"wall":1}', "failed")


def test_calls_shown_as_reasoning_come_back_as_calls() -> None:
    """By default a call is a reasoning item, which nobody runs, and which the host reads again."""
    events = numbered(
        (ToolCall("add", "c1", {"n": 1}), ToolResult("add", "c1", {"sum": 5}), Done("", "s", "1"))
    )
    (item,) = stream(events)[-1].fields["response"]["output"]
    assert (item["type"], item["summary"][0]["text"]) == (
        "reasoning",
        'Called add({"n":1}): {"sum":5}',
    )
    body = msgspec.convert({"input": [item, {"role": "user", "content": "c"}]}, ResponseBody)
    call, result = body.read_input()[0]
    assert call["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"n":1}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": '{"sum":5}'}


def test_other_providers_opaque_items_are_passed_over() -> None:
    """What another provider has encrypted, or a client has broken, is no fault and no message."""
    broken = ["gAAAA", "agent-host.", "agent-host.e30=", "agent-host.W3sicm9sZSI6MX1d", 5]
    items = [{"type": "reasoning", "summary": [], "encrypted_content": text} for text in broken]
    body = msgspec.convert({"input": [*items, {"role": "user", "content": "c"}]}, ResponseBody)
    assert body.read_input() == ([], "c")


def test_a_response_repeats_what_its_request_said() -> None:
    """Values of the request stand in the document, if they are of their field's kind."""
    said = {
        "input": "a",
        "temperature": 0.5,
        "top_p": "high",
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low"},
        "metadata": {"k": "v", "n": 1},
        "tools": [{"type": "function", "name": "f"}],
        "store": False,
    }
    body = msgspec.convert(said, ResponseBody)
    told = ResponseBuilder(REF, ResponseAbout("agent", body.echo())).document()
    assert (told["temperature"], told["top_p"], told["store"]) == (0.5, 1.0, False)
    assert told["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert told["reasoning"] == {"effort": "low", "summary": None}
    assert told["metadata"] == {"k": "v"}
    assert told["tools"][0]["name"] == "f"
    assert told["tools"][0]["strict"] is None


def test_what_follows_a_question_is_a_response_of_its_own() -> None:
    """The next response begins behind the question, numbered from 0, with ids of its own."""
    (first, second) = (REF, REF._replace(after_seq=2))
    events = numbered(LOGS["question"])
    before, after = stream(events, first), stream(events, second)
    assert [event.number for event in after] == list(range(len(after)))
    assert before[-1].fields["response"]["output"][-1]["name"] == "ask_user"
    output = after[-1].fields["response"]["output"]
    assert [item["content"][0]["text"] for item in output] == ["Blue."]
    ids = {item["id"] for made in (before, after) for item in made[-1].fields["response"]["output"]}
    assert len(ids) == 3


@settings(deadline=None)
@given(logs, st.lists(st.integers(0, 12)), st.lists(st.integers(0, 12)), st.data())
def test_a_stream_goes_on_from_any_number(
    events: tuple[AnyEvent, ...], cuts: list[int], later_cuts: list[int], data: st.DataObject
) -> None:
    """Cut off anywhere and read on, merged in another way, a stream says the same once."""
    log = numbered(events)
    seen = stream(merged(log, cuts))
    assert len({event.number for event in seen}) == len(seen)
    stop = data.draw(st.integers(0, len(seen)))
    after = seen[stop - 1].number if stop else -1
    builder = ResponseBuilder(REF, ABOUT)
    due = [event for event in builder.opening() if event.number > after]
    taken = 0
    while builder.next_number <= after:
        due = [event for event in builder.take(log[taken]) if event.number > after]
        taken += 1
    rest = [made for event in merged(log[taken:], later_cuts) for made in builder.take(event)]
    assert joined(seen[:stop] + due + rest) == joined(stream(log))


@settings(deadline=None, max_examples=40)
@given(logs)
def test_strict_clients_take_every_response(events: tuple[AnyEvent, ...]) -> None:
    """Whatever the turn did, document and events are ones to Open Responses' own models."""
    builder = ResponseBuilder(REF, ABOUT)
    for event in [*builder.opening(), *(e for n in numbered(events) for e in builder.take(n))]:
        STRICT_EVENTS.validate_json(event.json())
    document = json.loads(json.dumps(builder.document()))
    assert ResponseResource.model_validate(document).status == document["status"]


@settings(deadline=None, max_examples=40)
@given(logs, st.sampled_from([MCP, REF]))
def test_every_response_is_type_complete(events: tuple[AnyEvent, ...], ref: ResponseRef) -> None:
    """Whatever the turn did, response and events are ones to the openai package's own types."""
    builder = ResponseBuilder(ref, ABOUT)
    adapter, told = TypeAdapter(Response), TypeAdapter(ResponseStreamEvent)
    indexes = []
    for event in numbered(events):
        adapter.validate_python(builder.document())
        made = builder.take(event)
        for one in made:
            head = {"type": one.kind, "sequence_number": one.number}
            assert told.validate_python(head | one.fields).type == one.kind
        indexes += [e.fields["output_index"] for e in made if e.kind.endswith("item.added")]
    document = builder.document()
    adapter.validate_python(document)
    assert indexes == list(range(len(document["output"])))
    assert {item["status"] for item in document["output"]} <= {"completed", "incomplete", "failed"}


def test_a_lost_turns_end_stands_behind_all_that_was_seen() -> None:
    """A reader that saw events which were not kept still gets the end."""
    lost = Error("worker_lost", "The worker is gone.")
    end = NumberedEvent(EventId(1, LOST_SEQ), lost, encode_event(lost))
    made = stream([*numbered((Token("a"),)), end])
    assert made[-1].kind == "response.failed"
    assert made[-1].number > LOST_SEQ


def test_missing_events_are_reported() -> None:
    """A response whose beginning is no longer kept has failed, not ended."""
    builder = ResponseBuilder(REF, ABOUT)
    (gap,) = numbered((Gap("1-0", "1-5"),), 4)
    assert [event.kind for event in builder.take(gap)] == ["response.failed"]
    assert builder.has_gap


@settings(deadline=None)
@given(
    st.from_regex(r"[A-Za-z0-9._~-]{1,128}", fullmatch=True), st.integers(1, 10**9), st.booleans()
)
def test_ids_come_back_as_what_they_were_made_of(session_id: str, turn: int, mcp: bool) -> None:  # noqa: FBT001 - drawn
    """An id says its session and turn, in characters that a path may hold."""
    ref = ResponseRef(session_id, turn, turn - 1, 1_795_000_000, background=True, mcp=mcp)
    if session_id not in (".", ".."):
        assert ResponseRef.parse(ref.id) == ref
    assert ref.id.removeprefix("resp_").replace("-", "").replace("_", "").isalnum()


@settings(deadline=None)
@given(st.one_of(st.text(max_size=30), st.text(max_size=30).map(lambda text: f"resp_{text}")))
def test_what_is_no_id_is_refused(text: str) -> None:
    """Anything else is no id, whatever it is."""
    with pytest.raises(ValueError, match="not a response's id"):
        ResponseRef.parse(text)


def test_items_become_history() -> None:
    """Input items are messages, calls with their results, and the user's message at the end."""
    body = msgspec.convert(
        {
            "input": [
                {"role": "developer", "content": "Be brief."},
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "a"}],
                },
                {"type": "reasoning", "id": "rs", "summary": []},
                {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "add", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c2", "output": "2"},
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {"type": "mcp_call", "id": "m1", "name": "add", "arguments": "{}", "output": "3"},
                {"type": "mcp_call", "id": "m2", "name": "add", "arguments": "{}", "error": {}},
                {"type": "mcp_call", "id": "m3", "name": "add", "arguments": "{}"},
                {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
                {"role": "user", "content": "c"},
            ],
            "instructions": "In French.",
            "metadata": {"k": "v"},
        },
        ResponseBody,
    )
    given, message = body.read_input()
    history = for_agent(given, 10_000)
    assert message == "c"
    assert [entry["role"] for entry in history] == [
        *("system", "user", "assistant", "tool", "tool"),
        *("assistant", "tool", "assistant", "tool", "assistant", "tool", "assistant"),
    ]
    results = [entry["content"] for entry in history if entry["role"] == "tool"]
    assert results == ["1", "2", "3", "{}", NO_RESULT]
    assert body.agent_metadata() == {"instructions": "In French.", "k": "v"}


@pytest.mark.parametrize("item", [{"type": "input_file"}, {"type": "function_call"}, {"type": 5}])
def test_items_for_no_agent_are_refused(item: dict[str, Any]) -> None:
    """An item that the agent could not see is refused by its place."""
    body = msgspec.convert({"input": [item]}, ResponseBody)
    with pytest.raises(RequestError) as caught:
        body.read_input()
    assert caught.value.details["field"].startswith("input.0")


def test_an_answer_is_json_where_the_agent_gave_a_schema() -> None:
    """A call's output is text; only for a question with a schema it is read as JSON."""
    plain, typed = InputRequest("q", "?"), InputRequest("q", "?", {"type": "integer"})
    assert answer_value(plain, "5") == "5"
    assert answer_value(typed, "5") == 5
    assert answer_value(typed, "five") == "five"
    assert json.loads(json.dumps(answer_value(typed, '{"a": [1]}'))) == {"a": [1]}
