"""How a model's answer may end, break and come again, with both of the built-in agent's APIs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient

from tests.agents.bench import AgentBench
from tests.support.conversation import add
from tests.support.turns import events_of
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Body,
    Call,
    Cut,
    Data,
    EndOfFile,
    Finish,
    Raw,
    Reasoning,
    Refuse,
    Script,
    Stall,
    Text,
    ToolCalls,
    Usage,
    chunk,
)
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent
from wsgi_app.agents import openai_client, openai_connect
from wsgi_app.agents.answer_end import CUT_OFF

API_KEY = "sk-upstream-test-key"
Api = Literal["chat", "responses"]
#: Far above the grace after an answer's end, far below a turn's time.
GRACE_ENDS_SECONDS = 10.0

HALF_A_CALL: dict[str, tuple[AnyStep, ...]] = {
    "chat": (
        Data(chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add"}}]})),
        Data(chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1'}}]})),
    ),
    "responses": (
        Data(
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "function_call", "call_id": "c", "name": "add"},
            }
        ),
        Data({"type": "response.function_call_arguments.delta", "delta": '{"a": 1'}),
    ),
}
ERRORS: dict[str, list[AnyStep]] = {
    "chat": [
        Data({"error": {"message": Refuse(500).secret, "code": 503}}),
        Data({"error": {"message": Refuse(500).secret, "code": "503"}}),
        Data({"object": "error", "message": Refuse(500).secret, "code": 503}),
        Raw(f'event: error\ndata: {{"code": 503, "message": "{Refuse(500).secret}"}}\n\n'),
        Raw(f'error: {{"code": 503, "message": "{Refuse(500).secret}"}}\n\n'),
        Body(json.dumps({"error": {"message": Refuse(500).secret, "code": 503}})),
    ],
    "responses": [
        Data({"type": "error", "code": "503", "message": Refuse(500).secret}),
        Data({"type": "error", "error": {"code": 503, "message": Refuse(500).secret}}),
        Data(
            {
                "type": "response.failed",
                "response": {
                    "status": "failed",
                    "error": {"code": "503", "message": Refuse(500).secret},
                },
            }
        ),
        Body(json.dumps({"error": {"message": Refuse(500).secret, "code": 503}})),
    ],
}
WHOLE: dict[str, dict[str, Any]] = {
    "chat": {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "tool_calls": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    },
    "responses": {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": [
            {"type": "reasoning", "id": "rs", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
        ],
        "usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
    },
}


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The scripted provider; what breaks off is tried again soon."""
    monkeypatch.setattr(openai_client, "RETRY_SECONDS", 0.02)
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> Api:
    """Each of the APIs."""
    api: Api = request.param
    return api


@pytest.fixture
def bench(upstream: Upstream, api: Api) -> Iterator[AgentBench]:
    """The agent on the engine, its model at the scripted provider."""
    bench = AgentBench(OpenAIAgent("test-model", tools=[add], api=api), upstream)
    yield bench
    bench.close()


def check_error(event: dict[str, Any], *, retryable: bool, **details: Any) -> None:
    """Check an error event: its fields, and that no text of the provider's is in it."""
    assert (event["type"], event["code"]) == ("error", "upstream_error")
    assert (event["retryable"], event.get("details", {})) == (retryable, details)
    assert Refuse(500).secret not in str(event)
    assert API_KEY not in str(event)


def test_a_text_at_its_length_limit_is_told_to_be_cut_off(bench: AgentBench) -> None:
    """The answer stays, a status says that it is not whole, and the turn is done."""
    *tokens, status, done = bench.talk((Text(("Hel", "lo")), Finish("length"), Usage(1, 2)))
    assert "".join(token["content"] for token in tokens) == "Hello"
    assert status == {"type": "status", "content": CUT_OFF}
    assert (done["type"], done["reply"], done["usage"]["total_tokens"]) == ("done", "Hello", 3)


def test_a_limit_reached_before_any_text_is_an_error(bench: AgentBench) -> None:
    """Thoughts alone are no answer."""
    for script in [(Finish("length"),), (Reasoning(("Hm.",)), Finish("length"))]:
        check_error(bench.talk(script)[-1], retryable=False, finish_reason="length")


def test_a_limit_reached_within_a_call_is_an_error(bench: AgentBench, api: Api) -> None:
    """A call whose arguments are cut off does not run."""
    text = Text(("I add.",))
    token, error = bench.talk((text, *HALF_A_CALL[api], Finish("length")))
    assert token["content"] == "I add."
    check_error(error, retryable=False, finish_reason="length")


def test_whole_calls_run_at_the_length_limit(bench: AgentBench) -> None:
    """A call that is whole is what the model wants, and the next step goes on."""
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    events = bench.talk((calls, Finish("length")), (Text(("3",)),))
    assert [event["type"] for event in events] == ["tool_call", "tool_result", "token", "done"]


def test_a_filtered_answer_is_an_error(bench: AgentBench) -> None:
    """What was sent before stays; the turn does not end as if it was whole."""
    for script in [(Finish("content_filter"),), (Text(("Hel",)), Finish("content_filter"))]:
        error = bench.talk(script)[-1]
        check_error(error, retryable=False, finish_reason="content_filter")
        assert "content filter" in error["message"]


def test_an_error_within_a_good_answer_tells_its_status(bench: AgentBench, api: Api) -> None:
    """As an object in the stream, an event of that name, or the whole body."""
    for error in ERRORS[api]:
        check_error(bench.talk((error,))[-1], retryable=True, status=503)


def test_an_error_after_the_first_event_is_not_tried_again(
    bench: AgentBench, upstream: Upstream, api: Api
) -> None:
    """What the user has seen would come twice."""
    broken: list[AnyStep] = [
        ERRORS[api][0],
        Cut(),
        Cut(reset=True),
        EndOfFile(),
        Raw("data: {\n\n"),
    ]
    for step in broken:
        before = len(upstream.requests)
        token, error = bench.talk((Text(("Hello",)), step), (Text(("again",)),))
        assert token["content"] == "Hello"
        assert error["code"] == "upstream_error"
        assert len(upstream.requests) - before == 1


def test_a_stream_that_ends_before_its_first_event_is_tried_again(
    bench: AgentBench, upstream: Upstream
) -> None:
    """As long as nothing came of it, another request may do; the user sees nothing of it."""
    comment, nothing = Raw(": hello\n\n"), Raw("data: {}\n\n")
    for begin in ((comment,), (nothing,)):
        for broken in (Cut(), Cut(reset=True), EndOfFile()):
            before = len(upstream.requests)
            events = bench.talk((*begin, broken), (Text(("Hello",)),))
            assert [event["type"] for event in events] == ["token", "done"]
            assert len(upstream.requests) - before == 2


def test_an_error_before_anything_else_is_tried_again(
    bench: AgentBench, upstream: Upstream, api: Api
) -> None:
    """A gateway tells so what would be a cut without it; what will not pass is not tried again."""
    for error in ERRORS[api]:
        before = len(upstream.requests)
        assert bench.talk((error,), (Text(("Hello",)),))[-1]["type"] == "done"
        assert len(upstream.requests) - before == 2
    before = len(upstream.requests)
    refused = Data({"type": "error", "error": {"message": Refuse(500).secret, "code": 401}})
    check_error(bench.talk((refused,), (Text(("Hello",)),))[-1], retryable=False, status=401)
    assert len(upstream.requests) - before == 1


NO_ANSWER: dict[str, list[Script]] = {
    "chat": [
        (Data(chunk({"content": ""})), Data(chunk({}, "MALFORMED_FUNCTION_CALL"))),
        (Data(chunk({"content": ""})), Data(chunk({}, "tool_calls")), Usage(5, 1)),
        (Usage(5, 1),),
    ],
    "responses": [(Usage(5, 1),)],
}


def test_an_answer_that_is_none_is_asked_for_once_more(
    bench: AgentBench, upstream: Upstream, api: Api
) -> None:
    """While the user has seen nothing, though the provider has counted, which is told."""
    for script in NO_ANSWER[api]:
        before = len(upstream.requests)
        token, done = bench.talk(script, (Text(("Hello",)), Usage(2, 1)))
        assert (token["content"], done["type"]) == ("Hello", "done")
        counted = 9 if Usage(5, 1) in script else 3
        assert done["usage"]["total_tokens"] == counted
        assert len(upstream.requests) - before == 2
        (error,) = bench.talk(script)
        assert (error["code"], error["retryable"]) == ("upstream_error", True)
        assert len(upstream.requests) - before == 4


def test_thoughts_without_an_answer_are_an_error_at_once(
    bench: AgentBench, upstream: Upstream
) -> None:
    """The user has seen them, so nothing is asked for once more."""
    *thoughts, error = bench.talk((Reasoning(("The answer", " is 4.")),))
    assert "".join(one["content"] for one in thoughts) == "The answer is 4."
    check_error(error, retryable=True, finish_reason="stop")
    assert len(upstream.requests) == 1


def test_an_empty_step_behind_tools_ends_a_turn_that_has_spoken(bench: AgentBench) -> None:
    """The model has said what it had to say before its tools."""
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    assert bench.talk((Text(("I add.",)), calls), ())[-1]["reply"] == "I add."


@pytest.mark.parametrize("then", [Stall(), Cut(), Cut(reset=True), EndOfFile()])
def test_the_reason_ends_the_answer(
    bench: AgentBench, api: Api, then: AnyStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ``[DONE]`` nor the end of the connection must come behind it."""
    monkeypatch.setattr(openai_client, "GRACE_SECONDS", 0.2)
    end: dict[str, tuple[AnyStep, ...]] = {
        "chat": (
            Data(chunk({}, "stop")),
            Data({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}),
        ),
        "responses": (
            Data(
                {
                    "type": "response.completed",
                    "response": {"usage": {"input_tokens": 5, "output_tokens": 1}},
                }
            ),
        ),
    }
    began_at = time.monotonic()
    token, done = bench.talk((Text(("Hello",)), *end[api], then))
    assert time.monotonic() - began_at < GRACE_ENDS_SECONDS
    assert (token["content"], done["reply"]) == ("Hello", "Hello")
    assert done["usage"]["total_tokens"] == 6


def test_comments_behind_the_reason_keep_no_turn_open(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calls run, and the next step asks."""
    monkeypatch.setattr(openai_client, "GRACE_SECONDS", 0.2)
    bench = AgentBench(OpenAIAgent("m", tools=[add]), upstream)
    call = {"index": 0, "id": "c", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    comments = Raw(": keep-alive\n\n" * 10_000, piece_bytes=14)
    script = (Data(chunk({"tool_calls": [call]})), Data(chunk({}, "tool_calls")), comments, Stall())
    began_at = time.monotonic()
    assert bench.talk(script, (Text(("3",)),))[-1]["reply"] == "3"
    assert time.monotonic() - began_at < GRACE_ENDS_SECONDS
    bench.close()


def test_pieces_behind_the_reason_are_waited_for(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers tell a reason in each chunk, long before the last."""
    monkeypatch.setattr(openai_client, "GRACE_SECONDS", 0.4)
    bench = AgentBench(OpenAIAgent("m"), upstream)
    pieces = [
        step for text in "Hello" for step in (Data(chunk({"content": text}, "stop")), Stall(0.2))
    ]
    assert bench.talk(tuple(pieces))[-1]["reply"] == "Hello"
    bench.close()


def test_a_stream_is_tried_again_once(bench: AgentBench, upstream: Upstream) -> None:
    """A provider that always breaks off is not asked for ever."""
    (error,) = bench.talk((Raw(": hello\n\n"), EndOfFile()))
    check_error(error, retryable=True)
    assert len(upstream.requests) == 2


def test_a_counted_stream_is_not_tried_again(upstream: Upstream) -> None:
    """What the provider has counted, it will charge."""
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    bench = AgentBench(OpenAIAgent("test-model"), upstream)
    (error,) = bench.talk((Data(usage), EndOfFile()))
    check_error(error, retryable=True)
    assert len(upstream.requests) == 1
    bench.close()


def test_a_refusal_is_retried_when_the_provider_says(bench: AgentBench, upstream: Upstream) -> None:
    """Retry-After is waited for, in seconds and fractions of them."""
    bench.talk((Refuse(429, 0.4),), (Text(("Hello",)),))
    first, second = upstream.requests
    assert 0.35 < second.received_at - first.received_at < 10


def test_a_long_wait_for_a_provider_is_told(
    bench: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that the provider asks for one, and of a short one nothing."""
    monkeypatch.setattr(openai_connect, "SHOWN_WAIT_SECONDS", 0.4)
    *told, token, _ = bench.talk((Refuse(429, 0.1),), (Refuse(503, 0.6),), (Text(("Hello",)),))
    assert (token["type"], [event["type"] for event in told]) == ("token", ["status"])
    assert "busy" in told[0]["content"]


@pytest.mark.parametrize(
    "waiting", [(Refuse(503, 60.0),), (Raw(": hello\n\n"), EndOfFile()), (Stall(),)]
)
def test_a_cancel_ends_the_wait_for_another_try(
    bench: AgentBench,
    upstream: Upstream,
    waiting: tuple[AnyStep, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A turn that waits to ask again, or for an answer, ends at once."""
    monkeypatch.setattr(openai_client, "RETRY_SECONDS", 60.0)
    run = bench.start(waiting)
    upstream.wait_request()
    if isinstance(waiting[-1], Refuse):
        wait_for(lambda: run.log.last_seq, "the user is told of the wait")
    elif not isinstance(waiting[-1], Stall):
        bench.wait_no_request()
    asked_at = time.monotonic()
    bench.turns.runner.cancel(run.fence.key, None, "user")
    assert run.wait_ended(10)
    assert time.monotonic() - asked_at < 5
    told = ["Status"] if isinstance(waiting[-1], Refuse) else []
    assert [type(event).__name__ for event in events_of(run)] == [*told, "Cancelled"]
    bench.wait_no_request()


@pytest.mark.parametrize("indent", [None, 2])
def test_a_server_that_does_not_stream_is_understood(
    bench: AgentBench, api: Api, indent: int | None
) -> None:
    """One JSON object instead of a stream is an answer too."""
    token, done = bench.talk((Body(json.dumps(WHOLE[api], indent=indent)),))
    assert (token["content"], done["reply"]) == ("Hello", "Hello")
    assert done["usage"]["total_tokens"] == 9


@pytest.mark.parametrize(
    "body",
    [
        Body("<!DOCTYPE html><title>Hello</title>", "text/html"),
        Body("\n\n  <html><p>Too many requests</p></html>", "text/html; charset=utf-8"),
        Body('{"detail": "Not here"}'),
        Body("[]"),
        Body('{"choices": [{"message": {"content"'),
        Body('{"status": "completed", "object": "response"'),
    ],
)
def test_a_body_that_is_no_answer_is_refused(
    bench: AgentBench, upstream: Upstream, body: Body
) -> None:
    """A web page, or JSON of another kind, with a good status is the provider's error."""
    (error,) = bench.talk((body,))
    check_error(error, retryable=True)
    assert "malformed" in error["message"]
    assert len(upstream.requests) == 1


def test_options_are_fields_of_each_request(upstream: Upstream, api: Api) -> None:
    """Known and unknown ones alike, in each step."""
    options = {"temperature": 0.5, "reasoning": {"effort": "low"}, "top_k": 4}
    bench = AgentBench(OpenAIAgent("m", tools=[add], api=api, options=options), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    assert bench.talk((calls,), (Text(("3",)),))[-1]["type"] == "done"
    for request in upstream.requests:
        assert options.items() <= request.body.items()
    bench.close()


@pytest.mark.parametrize(
    "name", ["model", "messages", "input", "stream", "tools", "stream_options", "extra_body"]
)
def test_options_that_the_agent_sets_itself_are_refused(name: str) -> None:
    """At construction, so that no turn finds out."""
    with pytest.raises(ValueError, match=f"options cannot set {name}"):
        OpenAIAgent("m", options={name: "x"})


def test_options_that_are_no_json_and_unknown_apis_are_refused() -> None:
    """At construction too."""
    with pytest.raises(TypeError):
        OpenAIAgent("m", options={"temperature": object()})
    with pytest.raises(ValueError, match="chat, responses"):
        OpenAIAgent("m", api="completions")  # type: ignore[arg-type]


def test_options_are_the_agents_own(upstream: Upstream) -> None:
    """A later change of the mapping does not change the agent."""
    options: dict[str, Any] = {"metadata": {"a": "1"}}
    agent = OpenAIAgent("m", options=options)
    options["metadata"]["a"] = "2"
    bench = AgentBench(agent, upstream)
    bench.talk((Text(("Hi",)),))
    assert upstream.requests[0].body["metadata"] == {"a": "1"}
    bench.close()


def test_reasoning_goes_back_under_the_name_that_asks_for_it(upstream: Upstream) -> None:
    """DeepSeek refuses a call without its reasoning_content, Groq refuses its reasoning back."""
    bench = AgentBench(OpenAIAgent("m", tools=[add]), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    for field in ("reasoning_content", "reasoning"):
        bench.talk((Reasoning(("Let me", " see."), field), calls), (Text(("3",)),))
    told, untold = (upstream.requests[number].body["messages"][1] for number in (1, 3))
    assert told["reasoning_content"] == "Let me see."
    assert untold.keys() == {"role", "content", "tool_calls"}
    bench.close()


def clients(upstream: Upstream) -> dict[str, AsyncOpenAI]:
    """Clients as authors make them."""
    host = upstream.url.removesuffix("/v1")
    return {
        "httpx": AsyncOpenAI(
            api_key="own", base_url=upstream.url, http_client=DefaultAsyncHttpxClient()
        ),
        "azure": AsyncAzureOpenAI(api_key="own", azure_endpoint=host, api_version="2025-04-01"),
        "no retries": AsyncOpenAI(api_key="own", base_url=upstream.url, max_retries=0),
    }


@pytest.mark.parametrize("name", ["httpx", "azure", "no retries"])
def test_a_client_of_ones_own_is_used_as_it_is(upstream: Upstream, api: Api, name: str) -> None:
    """Its paths, its key and its transport; the whole of an answer comes through."""
    client = clients(upstream)[name]
    bench = AgentBench(OpenAIAgent("own-model", tools=[add], client=client, api=api), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    assert bench.talk((calls,), (Text(("3",)),))[-1]["reply"] == "3"
    (request, _) = upstream.requests
    key = request.headers.get("api-key") or request.headers["authorization"]
    assert key.removeprefix("Bearer ") == "own"
    assert ("/openai/" in request.path) == (name == "azure")
    bench.turns.run(lambda turn: turn.run_io(client.close()))
    bench.close()


def test_every_client_asks_the_same(upstream: Upstream, api: Api) -> None:
    """The provider gets the same requests through a client of one's own as through the host's."""
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    bodies = []
    own = clients(upstream)["httpx"]
    for client in (None, own):
        agent = OpenAIAgent(
            "m", tools=[add], system="Be brief.", client=client, api=api, options={"top_k": 5}
        )
        bench = AgentBench(agent, upstream)
        before = len(upstream.requests)
        upstream.script(calls)
        upstream.script(Text(("3",)))
        bench.turns.run(agent)
        sent = json.dumps([request.body for request in upstream.requests[before:]])
        bodies.append(json.loads(re.sub(r"\bfc_[0-9a-f]+", "fc", sent)))  # the provider's own ids
        if client is not None:
            bench.turns.run(lambda turn: turn.run_io(own.close()))
        bench.close()
    assert bodies[0] == bodies[1]
    assert len(bodies[0]) == 2
    assert bodies[0][0]["tools"]
    assert bodies[0][0]["top_k"] == 5


def test_a_client_that_does_not_retry_is_obeyed(upstream: Upstream, api: Api) -> None:
    """Neither a refusal nor a stream that breaks off is tried again."""
    client = clients(upstream)["no retries"]
    bench = AgentBench(OpenAIAgent("own-model", client=client, api=api), upstream)
    scripts: list[tuple[AnyStep, ...]] = [(Refuse(429, 0.1),), (Raw(": hi\n\n"), EndOfFile())]
    for script in scripts:
        before = len(upstream.requests)
        (error,) = bench.talk(script, (Text(("Hello",)),))
        assert error["code"] == "upstream_error"
        assert len(upstream.requests) - before == 1
    bench.turns.run(lambda turn: turn.run_io(client.close()))
    bench.close()
