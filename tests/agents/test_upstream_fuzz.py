"""Whatever a model provider sends, a turn comes to one proper end, in bounded memory."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, DefaultAioHttpClient

from tests.agents.test_dialects import SAID, read_raw
from tests.support.answers import ReadAnswer
from tests.support.conversation import add
from tests.support.turns import TurnBench
from tests.support.upstream_raw import RawUpstream
from wsgi_app import OpenAIAgent
from wsgi_app.agents.responses_stream import ResponsesStep
from wsgi_app.agents.sse_reader import MAX_EVENT_BYTES
from wsgi_app.errors import UpstreamError
from wsgi_app.events import AnyEvent, Done, Error, Status, Thinking, encode_json

Api = Literal["chat", "responses"]
APIS: tuple[Api, ...] = ("chat", "responses")
#: What an error may say: nothing of it is the provider's.
DETAILS = {"status", "finish_reason"}
MIB = 1_048_576
FRAGMENTS = 20_000
FRAGMENTS_SECONDS = 10
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
cuts = st.lists(st.floats(0, 1), max_size=8)
answers = st.sampled_from([(api, read_raw(api, server)) for api in APIS for server in SAID[api]])


def pieces_of(raw: bytes, places: list[float]) -> list[bytes]:
    """Bytes, cut at some places."""
    ends = [0, *sorted(int(place * len(raw)) for place in places), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(ends)]


def check_reading(api: str, pieces: Iterable[bytes]) -> None:
    """Read an answer: it is whole, and the next request can hold it, or an UpstreamError."""
    try:
        answer = ReadAnswer(api, pieces)
    except UpstreamError:
        return
    assert answer.step.is_finished
    assert all(name for name, _ in answer.calls)
    assert all(isinstance(item, str | Thinking | Status) for item in answer.emitted)
    if isinstance(answer.step, ResponsesStep):
        encode_json(answer.step.output)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A server's answer, with bytes missing, doubled, foreign or in another order, and cut."""
    api, raw = draw(answers)
    for _ in range(draw(st.integers(0, 3))):
        start, end = sorted(draw(st.integers(0, len(raw))) for _ in "12")
        damage = draw(st.sampled_from(["end", "lose", "double", "insert", "shuffle"]))
        if damage == "end":
            raw = raw[:end]
        elif damage == "lose":
            raw = raw[:start] + raw[end:]
        elif damage == "double":
            raw = raw[:end] + raw[start:]
        elif damage == "insert":
            raw = raw[:start] + draw(st.binary(max_size=20)) + raw[start:]
        else:
            raw = b"\n\n".join(draw(st.permutations(raw.split(b"\n\n"))))
    return api, pieces_of(raw, draw(cuts))


@st.composite
def mistyped(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A server's answer with some of its JSON replaced by other JSON."""
    api, raw = draw(answers)
    events = raw.split(b"\n")
    places = [i for i, event in enumerate(events) if event.startswith((b"data: {", b"{"))]
    for place in draw(st.lists(st.sampled_from(places), max_size=3)):
        prefix, brace, text = events[place].partition(b"{")
        try:
            value = json.loads(brace + text)
        except ValueError:
            continue  # one line of several
        events[place] = prefix + json.dumps(_with_another(draw, value)).encode()
    return api, pieces_of(b"\n".join(events), draw(cuts))


def _with_another(draw: st.DrawFn, value: Any) -> Any:
    """A value, something in it replaced."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _with_another(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _with_another(draw, value[place]), *value[place + 1 :]]
    return draw(json_values)


anything = st.tuples(st.sampled_from(APIS), st.lists(st.binary(max_size=200), max_size=5))
any_answer = damaged() | mistyped() | anything
quickly = settings(max_examples=200, deadline=None)
thoroughly = settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))


@quickly
@given(any_answer)
def test_any_bytes_are_an_answer_or_an_upstream_error(answer: tuple[str, list[bytes]]) -> None:
    """Damaged, mistyped and senseless answers raise nothing else, and are never half taken."""
    check_reading(*answer)


@pytest.mark.slow
@pytest.mark.timeout(600)
@thoroughly
@given(any_answer)
def test_many_bytes_are_an_answer_or_an_upstream_error(answer: tuple[str, list[bytes]]) -> None:
    """The same, for longer."""
    check_reading(*answer)


@quickly
@given(st.data())
def test_fragments_of_calls_may_come_in_any_order(data: st.DataObject) -> None:
    """However the calls take turns, each gets its own arguments."""
    wanted = [f'{{"a": {n}, "b": "{"x" * n}"}}' for n in range(data.draw(st.integers(1, 4)))]
    order = data.draw(st.permutations([n for n, text in enumerate(wanted) for _ in text]))
    for api, begin, go_on, end in (
        ("chat", _chat_begin, _chat_fragment, {"choices": [{"finish_reason": "stop"}]}),
        ("responses", _call_begin, _call_fragment, _COMPLETED),
    ):
        letters = [iter(text) for text in wanted]
        events = [begin(n) for n in range(len(wanted))]
        events += [go_on(n, next(letters[n])) for n in order]
        raw = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in [*events, end])
        read = ReadAnswer(api, pieces_of(raw, data.draw(cuts)))
        assert read.calls == [("add", text) for text in wanted]


_COMPLETED = {"type": "response.completed", "response": {"status": "completed"}}


def _chat_begin(n: int) -> dict[str, Any]:
    call = {"index": n, "id": f"c{n}", "function": {"name": "add", "arguments": ""}}
    return {"choices": [{"delta": {"tool_calls": [call]}}]}


def _chat_fragment(n: int, text: str) -> dict[str, Any]:
    call = {"index": n, "function": {"arguments": text}}
    return {"choices": [{"delta": {"tool_calls": [call]}}]}


def _call_begin(n: int) -> dict[str, Any]:
    item = {"type": "function_call", "call_id": f"c{n}", "name": "add", "arguments": ""}
    return {"type": "response.output_item.added", "output_index": n, "item": item}


def _call_fragment(n: int, text: str) -> dict[str, Any]:
    return {"type": "response.function_call_arguments.delta", "output_index": n, "delta": text}


class Provider:
    """The agent against a provider that sends what it likes, over a socket."""

    def __init__(self, upstream: RawUpstream, **options: Any) -> None:
        self.upstream = upstream
        self.turns = TurnBench(**options)
        self._client = AsyncOpenAI(
            api_key="k",
            base_url=upstream.url,
            max_retries=0,
            http_client=DefaultAioHttpClient(),
        )
        self._agents: dict[str, OpenAIAgent] = {
            api: OpenAIAgent("m", tools=[add], client=self._client, api=api, max_steps=2)
            for api in APIS
        }

    def run(self, api: str, pieces: Iterable[bytes], agent: OpenAIAgent | None = None) -> AnyEvent:
        """Run a turn, and give its end, which is proper and the only one."""
        self.upstream.answers.clear()
        self.upstream.answers.append(pieces)
        events = self.turns.run(agent or self._agents[api])
        ends = [event for event in events if isinstance(event, Done | Error)]
        assert ends == [events[-1]]
        (end,) = ends
        if isinstance(end, Error):
            assert end.code in ("upstream_error", "step_limit", "turn_timeout")
            assert end.details.keys() <= DETAILS | {"max_steps"}
        return end

    def close(self) -> None:
        """End the engine's threads."""
        self.turns.run(lambda turn: turn.run_io(self._client.close()))
        self.turns.runner.close(10)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """The agent, and what it talks to."""
    with RawUpstream() as upstream:
        provider = Provider(upstream)
        yield provider
        provider.close()


heads = st.sampled_from(
    [
        HEAD + b"\r\n",
        HEAD + b"Content-Encoding: gzip\r\n\r\n",
        HEAD + b"Content-Encoding: deflate\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 100\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        b"HTTP/1.1 404 Not here\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 307 Elsewhere\r\nLocation: :::\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 204 Nothing\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"",
    ]
)
over_a_socket = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def check_turn(provider: Provider, head: bytes, answer: tuple[str, list[bytes]]) -> None:
    """Run a turn whose answer begins with a head."""
    api, pieces = answer
    provider.run(api, [head, *pieces])


@over_a_socket
@given(head=heads, answer=any_answer)
def test_any_answer_ends_a_turn_properly(
    provider: Provider, head: bytes, answer: tuple[str, list[bytes]]
) -> None:
    """Over a real socket, with heads that are right or wrong: done or an upstream_error."""
    check_turn(provider, head, answer)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(thoroughly, max_examples=5_000)
@given(head=heads, answer=any_answer)
def test_many_answers_end_a_turn_properly(
    provider: Provider, head: bytes, answer: tuple[str, list[bytes]]
) -> None:
    """The same, for longer."""
    check_turn(provider, head, answer)


def test_broken_chunks_end_at_latest_with_the_turns_time() -> None:
    """An HTTP answer whose framing breaks in the middle may look like silence to aiohttp."""
    with RawUpstream() as upstream:
        provider = Provider(upstream, turn_timeout_seconds=1)
        head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        end = provider.run("chat", [head, b"6\r\n: hi\n\n\r\n", b"nonsense\r\n", b"more\r\n"])
        assert isinstance(end, Error)
        provider.close()


def repeated(piece: bytes, size_bytes: int) -> Iterator[bytes]:
    """A piece over and over."""
    for _ in range(size_bytes // len(piece)):
        yield piece


def chat_event(delta: dict[str, Any]) -> bytes:
    """A chunk of a chat completion."""
    return b"data: %s\n\n" % json.dumps({"choices": [{"delta": delta}]}).encode()


def zipped(pieces: Iterable[bytes]) -> bytes:
    """A body as gzip."""
    return gzip.compress(b"".join(pieces))


PLAIN = HEAD + b"\r\n"
GZIP = HEAD + b"Content-Encoding: gzip\r\n\r\n"
REFUSED = b"HTTP/1.1 400 No\r\nConnection: close\r\nX-Should-Retry: false\r\n\r\n"
NO_CALL = {"index": 0, "function": {"arguments": ""}}
FLOODS: dict[str, Callable[[], Iterable[bytes]]] = {
    "a line of 10 MB": lambda: [PLAIN, b"data: ", *repeated(b"x" * 65_536, 10 * MIB), b"\n\n"],
    "a line without end": lambda: [PLAIN, *repeated(b"x" * 65_536, 64 * MIB)],
    "data lines without end": lambda: [
        PLAIN,
        *repeated((b"data: " + b"x" * 250 + b"\n") * 256, 64 * MIB),
    ],
    "a JSON body without end": lambda: [PLAIN, b"{", *repeated(b" " * 65_536, 64 * MIB)],
    "comments": lambda: [PLAIN, *repeated((b": " + b"x" * 250 + b"\n") * 256, 32 * MIB)],
    "fragments of nothing": lambda: [
        PLAIN,
        *repeated(chat_event({"tool_calls": [NO_CALL]}) * 500, MIB),
    ],
    "gzip of a long line": lambda: [GZIP, zipped(repeated(b"x" * 65_536, 64 * MIB))],
    "gzip of nothing but garbage": lambda: [GZIP, os.urandom(200_000)],
    "a refusal without end": lambda: [REFUSED, *repeated(b"x" * 65_536, 64 * MIB)],
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_turn_in_bounded_memory(
    provider: Provider, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than any model sends is an error, before it is in the memory."""
    monkeypatch.setenv("OPENAI_BASE_URL", provider.upstream.url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    agent = OpenAIAgent("m")
    pieces = FLOODS[name]()
    tracemalloc.start()
    try:
        end = provider.run("chat", pieces, agent)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(end, Error)
    assert peak_bytes < 6 * MAX_EVENT_BYTES


def test_fragments_of_a_long_call_are_read_in_time_of_their_own_length() -> None:
    """A megabyte of arguments is not read again for each of many fragments that follow it."""

    def fragment(arguments: str) -> bytes:
        function = {"name": "add", "arguments": arguments}
        calls = [{"index": 0, "function": function}]
        chunk = {"choices": [{"delta": {"tool_calls": calls}}]}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    half = '{"a": "' + "x" * (MIB - 10)
    pieces = [fragment(half), *[fragment("")] * FRAGMENTS, fragment('"}')]
    began_at = time.monotonic()
    answer = ReadAnswer("chat", [*pieces, b"data: [DONE]\n\n"])
    assert time.monotonic() - began_at < FRAGMENTS_SECONDS
    assert answer.calls == [("add", half + '"}')]
