"""Which answers are asked for once more, with both of the built-in agent's APIs."""

from __future__ import annotations

import time

import pytest

from tests.agents.answers.parts import (
    ERRORS,
    Api,
    check_error,
)
from tests.agents.bench import AgentBench
from tests.support.turns import events_of
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Cut,
    Data,
    EndOfFile,
    Raw,
    Refuse,
    Script,
    Stall,
    Text,
    Usage,
    chunk,
)
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent
from wsgi_app.agents import openai_client, openai_connect


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


def test_a_long_wait_for_a_provider_is_reported(
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
