"""How a model's answer may end, with both of the built-in agent's APIs."""

from __future__ import annotations

import json
import time

import pytest

from tests.agents.answers.parts import (
    ERRORS,
    GRACE_ENDS_SECONDS,
    HALF_A_CALL,
    WHOLE,
    Api,
    check_error,
)
from tests.agents.bench import AgentBench
from tests.support.conversation import add
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
    Stall,
    Text,
    ToolCalls,
    Usage,
    chunk,
)
from wsgi_app import OpenAIAgent
from wsgi_app.agents import openai_client
from wsgi_app.agents.answer_end import CUT_OFF


def test_a_text_at_its_length_limit_is_reported_as_cut_off(bench: AgentBench) -> None:
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


def test_an_error_within_a_good_answer_reports_its_status(bench: AgentBench, api: Api) -> None:
    """As an object in the stream, an event of that name, or the whole body."""
    for error in ERRORS[api]:
        check_error(bench.talk((error,))[-1], retryable=True, status=503)


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
