"""The streamed chunks of a chat completion, as the many servers of that API write them."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.upstream_script import chunk
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.sse_reader import MAX_EVENT_BYTES, SseMessage, SseReader
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.errors import UpstreamError
from wsgi_app.events import Thinking, Usage

STREAM = (
    ": comment\n\n"
    'data: {"a": 1}\n\n'
    "event: error\r\nid: 7\r\ndata: two\r\ndata:lines é\r\n\r\n"
    ": keep-alive\n"
    "retry: 5\n\n"
    "data\n\n"
    "unknown: field\n\n"
    "data: [DONE]\n\n"
).encode()
MESSAGES = [
    SseMessage(b"", b'{"a": 1}'),
    SseMessage(b"error", "two\nlines é".encode()),
    SseMessage(b"", b""),
    SseMessage(b"", b"[DONE]"),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(cuts=st.lists(st.integers(0, len(STREAM))).map(sorted))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    """Reads may end anywhere, within a character or between CR and LF too."""
    reader = SseReader()
    messages: list[SseMessage] = []
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        messages += reader.feed(STREAM[start:end])
    assert messages + reader.close() == MESSAGES


def test_a_byte_order_mark_and_a_missing_last_empty_line_are_tolerated() -> None:
    """A stream may begin with a mark, and end behind its last line or in the middle of it."""
    for end in (b"", b"\n"):
        reader = SseReader()
        first = reader.feed(b"\xef\xbb\xbfdata: 1\n\ndata: 2" + end)
        assert first + reader.close() == [SseMessage(b"", b"1"), SseMessage(b"", b"2")]


@pytest.mark.parametrize("line", [b"x" * 1000, b"data: " + b"x" * 1000, b"data: xy\n" * 100])
def test_an_endless_line_or_event_is_refused_before_it_fills_the_memory(line: bytes) -> None:
    """A reader holds a bounded number of bytes, however they come."""
    max_bytes = 262_144
    reader = SseReader(max_bytes)
    tracemalloc.start()
    with pytest.raises(UpstreamError):
        feed_many(reader, [line] * (20 * max_bytes // len(line)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5 * max_bytes


def feed_many(reader: SseReader, pieces: list[bytes]) -> None:
    """Feed pieces whose events do not matter."""
    for piece in pieces:
        reader.feed(piece)


def test_a_long_line_costs_linear_time() -> None:
    """A line in pieces of one byte is not searched again from its start."""
    feed_many(SseReader(), [b"x"] * (MAX_EVENT_BYTES // 4))


class Step(ChatStep):
    """A step that keeps what it emits."""

    def __init__(self) -> None:
        self.emitted: list[Any] = []
        super().__init__(self.emitted.append)


def take(*values: Any, end: bool = True) -> Step:
    """Feed chunks, and the stream's proper end, to a new step."""
    step = Step()
    for value in values:
        step.take(SseMessage(b"", json.dumps(value).encode()))
    if end:
        if step.finish_reason is None:
            step.take(SseMessage(b"", json.dumps(chunk({}, "stop")).encode()))
        step.take(SseMessage(b"", b"[DONE]"))
    step.close()
    return step


def fragment(arguments: Any = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    """A fragment of a tool call; fields that are None are left out."""
    function = {"name": name, "arguments": arguments}
    return {**more, "function": {key: x for key, x in function.items() if x is not None}}


def calls_of(*fragments: dict[str, Any]) -> list[CallRequest]:
    """The calls that fragments, each in a chunk of its own, make up."""
    return take(*[chunk({"tool_calls": [one]}) for one in fragments]).calls


def test_text_is_sent_at_once_and_kept() -> None:
    """Content and refusals are tokens, reasoning under either name is thinking."""
    step = take(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "a", "content": None}),
        chunk({"reasoning": "b"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({"refusal": "No."}),
        chunk({}, "stop"),
    )
    assert step.emitted == [Thinking("a"), Thinking("b"), "Hel", "lo", "No."]
    assert step.text == "HelloNo."


def test_fragments_of_several_calls_are_put_together_by_index() -> None:
    """Two calls whose fragments take turns keep their order and their own arguments."""
    calls = calls_of(
        fragment("", "add", index=0, id="a"),
        fragment("", "sub", index=1, id="b"),
        fragment('{"x"', index=0),
        fragment('{"y"', index=1, id=""),
        fragment(":1}", index=0, id="a"),
        fragment(":2}", "sub", index=1),
    )
    assert calls == [CallRequest("a", "add", '{"x":1}'), CallRequest("b", "sub", '{"y":2}')]


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
def test_calls_without_an_index_of_their_own_are_told_apart_by_id(index: dict[str, Any]) -> None:
    """Some servers leave the index out, or give 0 to all: a new id is a new call."""
    calls = calls_of(
        fragment('{"x":', "add", id="a", **index),
        fragment("1}", **index),
        fragment('{"y":2}', "add", id="b", **index),
    )
    assert calls == [CallRequest("a", "add", '{"x":1}'), CallRequest("b", "add", '{"y":2}')]


def test_calls_without_index_and_id_are_told_apart_by_name() -> None:
    """Whole calls that bear nothing but a name get ids of their own."""
    calls = calls_of(fragment('{"x":1}', "add"), fragment("{}", "now"))
    assert [(call.tool, call.arguments) for call in calls] == [("add", '{"x":1}'), ("now", "{}")]
    assert calls[0].call_id != calls[1].call_id
    assert all(call.call_id for call in calls)


def test_calls_of_the_same_id_get_ids_of_their_own() -> None:
    """Results are told apart by their call's id, by clients and in the next request."""
    calls = calls_of(
        fragment("{}", "add", index=0, id="a"),
        fragment('{"x"', "now", index=1, id="a"),
        fragment(":1}", index=1, id="a"),
    )
    assert [(call.tool, call.arguments) for call in calls] == [("add", "{}"), ("now", '{"x":1}')]
    assert calls[0].call_id == "a" != calls[1].call_id


def test_arguments_in_one_piece_or_as_an_object_are_understood() -> None:
    """Some servers send the arguments whole, some as JSON instead of text."""
    calls = calls_of(
        fragment('{"x":1}', "add", index=0, id="a"),
        fragment({"y": [2]}, "add", index=1, id="b"),
        fragment(None, "now", index=2, id="c"),
    )
    assert [call.arguments for call in calls] == ['{"x":1}', '{"y":[2]}', ""]


def test_usage_is_the_last_one_sent() -> None:
    """Some servers count in every chunk; a missing total is the sum."""
    step = take(
        {**chunk({"content": "x"}), "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        {"choices": None, "usage": None},
    )
    assert step.usage == Usage(5, 2, 7)


def test_an_end_is_whole_with_either_mark() -> None:
    """A finish reason ends an answer, the end mark one of a server that never gives a reason."""
    take(chunk({"content": "x"}), chunk({}, "stop"), end=False)
    mark = SseMessage(b"", b"[DONE]")
    without_reasons = Step()
    without_reasons.take(SseMessage(b"", b'{"choices":[{"index":0,"delta":{"content":"x"}}]}'))
    without_reasons.take(mark)
    without_reasons.close()
    cut = Step()
    cut.take(SseMessage(b"", json.dumps(chunk({"content": "x"})).encode()))
    cut.take(mark)
    for broken in (cut.close, lambda: take(chunk({"content": "x"}), end=False)):
        with pytest.raises(UpstreamError, match="broke off"):
            broken()


@pytest.mark.parametrize(
    ("value", "details"),
    [
        ({"error": {"message": "secret", "code": 503}}, {"status": 503}),
        ({"error": {"message": "secret", "status": 429}}, {"status": 429}),
        ({"error": {"message": "secret", "code": "rate_limit"}}, {}),
        ({"error": "secret"}, {}),
        ({"object": "error", "message": "secret", "code": 400}, {"status": 400}),
    ],
)
def test_an_error_in_the_stream_is_reported_without_its_text(
    value: dict[str, Any], details: dict[str, Any]
) -> None:
    """The status, where there is one, is all that clients learn."""
    with pytest.raises(UpstreamError) as caught:
        take(chunk({"content": "x"}), value)
    assert caught.value.details == details
    assert "secret" not in caught.value.message


def test_an_event_without_data_is_skipped() -> None:
    """Some proxies keep a connection alive with an empty event."""
    step = Step()
    step.take(SseMessage(b"", b" "))
    assert step.emitted == []


def test_an_event_named_error_is_an_error() -> None:
    """Whatever its data is."""
    with pytest.raises(UpstreamError, match="reported an error"):
        Step().take(SseMessage(b"error", b"{}"))


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"[]",
        b"1",
        b'"x"',
        b'{"choices": {}}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b'{"choices": [' * 100_000,
        b'{"x": ' * 100_000,
    ],
)
def test_malformed_data_is_an_upstream_error(data: bytes) -> None:
    """Data of another shape ends the turn with the provider's error, not the agent's."""
    with pytest.raises(UpstreamError, match="malformed"):
        Step().take(SseMessage(b"", data))


@pytest.mark.parametrize(
    "fragments",
    [
        [fragment("{}", index=0, id="a")],
        [fragment("{}", "x" * 300, index=0, id="a")],
        [fragment("{}", "x", index=0, id="a" * 20_000)],
        [fragment("x" * 500_000, "x", index=0)] * 3,
        [fragment("{}", "x", index=number) for number in range(200)],
    ],
)
def test_calls_out_of_all_bounds_are_malformed(fragments: list[dict[str, Any]]) -> None:
    """A nameless call, and what no model writes, is the provider's error."""
    with pytest.raises(UpstreamError, match="malformed"):
        calls_of(*fragments)


@given(
    st.lists(
        json_values
        | json_values.map(lambda value: {"choices": [{"delta": value}]})
        | json_values.map(lambda value: {"choices": [{"delta": {"tool_calls": [value]}}]})
        | json_values.map(lambda value: {"usage": value})
        | json_values.map(lambda value: {"error": value})
    )
)
def test_no_json_breaks_a_step(values: list[Any]) -> None:
    """Any JSON is either understood or an upstream error."""
    with suppress(UpstreamError):
        take(*values)
