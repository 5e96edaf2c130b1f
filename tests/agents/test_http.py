"""Requests of frameworks without an agent here: they end with the turn, and say how they ended."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import httpx2
import openai
import pytest

from tests.agents.bench import AgentBench, Host, events_of
from tests.support.upstream import Connection, Upstream
from tests.support.upstream_script import (
    AnyStep,
    Body,
    Call,
    Cut,
    EndOfFile,
    Finish,
    Raw,
    Refuse,
    Stall,
    Text,
    ToolCalls,
    Usage,
)
from tests.support.waiting import wait_for
from wsgi_app.agents import http
from wsgi_app.agents.answer_end import CUT_OFF
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.errors import TurnCancelled

Agent = Callable[[Turn], Any]
#: A client, and an agent by it.
Made = tuple[Any, Agent]
HALF = (Text(("Hel", "lo")), Stall())
SILENT = (Stall(),)


def body(turn: Turn) -> dict[str, Any]:
    """What is asked."""
    messages = [*turn.history, {"role": "user", "content": turn.message}]
    asked = {"model": "test-model", "messages": messages, "stream": True}
    return {**asked, "stream_options": {"include_usage": True}}


def openai_agent(upstream: Upstream) -> Made:
    """An agent by the openai package."""
    client = http.openai_client(base_url=upstream.url, api_key="none")

    def answer(turn: Turn) -> Iterator[str]:
        for chunk in client.chat.completions.create(**body(turn)):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return client, answer


def async_openai_agent(upstream: Upstream) -> Made:
    """The same, asynchronous; its request is a task's that nobody cancels."""
    client = http.async_openai_client(base_url=upstream.url, api_key="none")

    async def answer(turn: Turn) -> AsyncIterator[str]:
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        async def ask() -> None:
            try:
                async for chunk in await client.chat.completions.create(**body(turn)):
                    if chunk.choices and chunk.choices[0].delta.content:
                        pieces.put_nowait(chunk.choices[0].delta.content)
            finally:
                pieces.put_nowait(None)

        task = asyncio.create_task(ask())
        while (piece := await pieces.get()) is not None:
            yield piece
        await task

    return client, answer


def text_of(line: str) -> str:
    """The text in a line of a stream."""
    data = line.removeprefix("data: ")
    choices = json.loads(data)["choices"] if data.startswith("{") else []
    return str(choices[0]["delta"].get("content", "")) if choices else ""


def httpx_agent(package: Any) -> Callable[[Upstream], Made]:
    """An agent by the HTTP library alone."""

    def make(upstream: Upstream) -> Made:
        client = http.http_client(package)

        def answer(turn: Turn) -> Iterator[str]:
            url = f"{upstream.url}/chat/completions"
            with client.stream("POST", url, json=body(turn)) as response:
                response.raise_for_status()
                yield from map(text_of, response.iter_lines())

        return client, answer

    return make


def async_httpx_agent(package: Any) -> Callable[[Upstream], Made]:
    """The same, asynchronous."""

    def make(upstream: Upstream) -> Made:
        client = http.async_http_client(package)

        async def answer(turn: Turn) -> AsyncIterator[str]:
            url = f"{upstream.url}/chat/completions"
            async with client.stream("POST", url, json=body(turn)) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    yield text_of(line)

        return client, answer

    return make


KINDS = {
    "openai": openai_agent,
    "async-openai": async_openai_agent,
    "httpx": httpx_agent(httpx),
    "httpx2": httpx_agent(httpx2),
    "async-httpx": async_httpx_agent(httpx),
    "async-httpx2": async_httpx_agent(httpx2),
}


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, upstream: Upstream, host: Host) -> Iterator[AgentBench]:
    """An agent of each kind."""
    client, agent = KINDS[request.param](upstream)
    bench = host(agent)
    yield bench
    closed = client.close() if isinstance(client, openai.AsyncOpenAI) else None
    if isinstance(client, (httpx.AsyncClient, httpx2.AsyncClient)):
        closed = client.aclose()
    if closed is None:
        client.close()
    else:
        bench.turns.runner.loops.agents.submit(closed).result(10)


@pytest.fixture
def client(upstream: Upstream) -> Iterator[openai.OpenAI]:
    """A client of the openai package."""
    with http.openai_client(base_url=upstream.url, api_key="none", max_retries=0) as client:
        yield client


def texts(events: list[dict[str, Any]]) -> str:
    """What the user saw."""
    return "".join(event["content"] for event in events if event["type"] == "token")


@contextmanager
def no_collector() -> Iterator[None]:
    """Leave what only the cyclic collector would close."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def wait_hung_up(bench: AgentBench, connection: Connection, asked_at: float) -> None:
    """Wait until the provider sees the end, which must be soon."""
    assert connection.wait_closed() - asked_at < 0.5
    bench.wait_no_request()


def test_an_answer_is_read_and_its_tokens_count(bench: AgentBench) -> None:
    """A turn's requests work as ever, and its ``done`` tells the provider's count."""
    for _ in range(2):
        events = bench.talk((Text(("Hello", " you")), Usage(7, 3)))
        assert texts(events) == "Hello you"
        assert events[-1]["type"] == "done"
        counts = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        assert events[-1]["usage"] == counts


@pytest.mark.parametrize("script", [HALF, SILENT], ids=["mid-text", "silent"])
@pytest.mark.parametrize("warm", [False, True], ids=["new", "kept"])
def test_a_stop_is_seen_by_the_provider_at_once(
    bench: AgentBench, script: tuple[AnyStep, ...], *, warm: bool
) -> None:
    """The request of a stopped turn is hung up at once, on a kept connection too."""
    if warm:
        bench.talk((Text(("warm",)),))
    before = len(bench.upstream.requests)
    with no_collector():
        run = bench.start(script)
        request = bench.upstream.wait_request(before + 1)
        if script is HALF:
            wait_for(lambda: texts(events_of(run)) == "Hello", "the half answer")
        asked_at = time.monotonic()
        bench.turns.runner.cancel(run.fence.key, None, "user")
        wait_hung_up(bench, request.connection, asked_at)
    wait_for(lambda: not run.goes_on(), "the agent has returned")
    assert len(bench.upstream.requests) == before + 1  # the openai package asks again else
    assert texts(bench.talk((Text(("next",)),))) == "next"


@pytest.mark.parametrize("script", [(Text(("Half",)), EndOfFile()), (Text(("Half",)), Cut())])
def test_an_end_without_a_reason_is_none(bench: AgentBench, script: tuple[AnyStep, ...]) -> None:
    """An answer that just stops, or whose connection does, ends its turn with an error."""
    *_, last = events = bench.talk(script)
    assert texts(events) == "Half"
    assert (last["type"], last["code"], last["retryable"]) == ("error", "upstream_error", True)
    assert "broke off" in last["message"]


def test_a_done_without_a_reason_is_none(bench: AgentBench) -> None:
    """The mark of the end is no reason: the openai package reads nothing behind it."""
    cut = Raw(
        'data: {"choices":[{"index":0,"delta":{"content":"Half"},"finish_reason":null}]}\n\n'
        "data: [DONE]\n\n"
    )
    *_, last = events = bench.talk((cut, EndOfFile()))
    assert texts(events) == "Half"
    assert last.get("code") == "upstream_error"


def test_a_cut_by_length_is_reported(bench: AgentBench) -> None:
    """The user is told that a text is cut off; half a call's arguments are no answer."""
    events = bench.talk((Text(("Half",)), Finish("length")))
    assert {"type": "status", "content": CUT_OFF} in events
    assert events[-1]["type"] == "done"
    call = Call("call-1", "order", '{"item": "te')
    last = bench.talk((ToolCalls((call,)), Finish("length")))[-1]
    assert last.get("details") == {"finish_reason": "length"}


def test_a_stream_that_is_left_is_hung_up_with_the_turn(
    client: openai.OpenAI, upstream: Upstream, host: Host
) -> None:
    """An agent that stops reading and goes on to its end leaves no request open."""
    left = []

    def answer(turn: Turn) -> Iterator[str]:
        stream = client.chat.completions.create(**body(turn))
        left.append(stream)  # as a cycle would
        yield next(stream.__iter__()).choices[0].delta.content or ""

    bench = host(answer)
    assert bench.talk(HALF)[-1]["type"] == "done"
    upstream.requests[0].connection.wait_closed()
    left[0].close()


def test_a_thread_without_the_turn_is_told_which(upstream: Upstream, host: Host) -> None:
    """Where a framework's threads know no turn, the client is made for one."""

    def ask(client: openai.OpenAI, asked: dict[str, Any]) -> None:
        with suppress(TurnCancelled):
            list(client.chat.completions.create(**asked))

    def answer(turn: Turn) -> str:
        with http.openai_client(turn=turn, base_url=upstream.url, api_key="none") as client:
            asking = threading.Thread(target=ask, args=(client, body(turn)))
            asking.start()
            asking.join()
        return "asked"

    bench = host(answer)
    run = bench.start(SILENT)
    request = upstream.wait_request()
    bench.turns.runner.cancel(run.fence.key, None, "user")
    request.connection.wait_closed()
    wait_for(lambda: not run.goes_on(), "the agent has returned")


def test_answers_that_are_no_streams_are_read_too(client: openai.OpenAI, host: Host) -> None:
    """A whole answer counts, and is cut off, like a streamed one."""

    def answer(turn: Turn) -> str:
        asked = {**body(turn), "stream": False}
        del asked["stream_options"]
        return client.chat.completions.create(**asked).choices[0].message.content or ""

    value = {
        "choices": [{"index": 0, "message": {"content": "Half"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1},
    }

    events = host(answer).talk((Body(json.dumps(value)),))
    assert {"type": "status", "content": CUT_OFF} in events
    assert events[-1]["usage"]["total_tokens"] == 3


def test_outside_of_turns_a_client_is_like_any_other(
    client: openai.OpenAI, upstream: Upstream
) -> None:
    """What is asked without a turn works, and nothing of it is read."""
    upstream.script(Text(("Half",)), EndOfFile())
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    chunks = list(client.chat.completions.create(**asked))
    assert chunks[0].choices[0].delta.content == "Half"
    upstream.script(Refuse(400))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**asked)
