"""A session whose provider refuses something goes on, by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.agents.bench import AgentBench
from tests.support.agent_kinds import KINDS, Kinds
from tests.support.conversation import add
from tests.support.graphs import asking, builder_of, make_model
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import Body, messages_of, text_of
from tests.support.upstream_script import Call, Refuse, Stall, Text, ToolCalls
from wsgi_app.agents.langgraph import LangGraphAgent
from wsgi_app.agents.refusal_reasons import CONTEXT_FULL, FILTERED, refusal_reason
from wsgi_app.agents.shorter_history import SHORTENED
from wsgi_app.store.base import SessionKey

KEY = SessionKey("tenant", "recovery")
FULL = Refuse(400, code="context_length_exceeded")
MAX_MESSAGES = 7
#: What providers say of a conversation that is too long; the words are theirs, shortened.
FULL_BODIES: list[tuple[int, Any]] = [
    (400, {"code": "context_length_exceeded", "message": "no"}),
    (400, {"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8, "code": 400}),
    (400, {"error": {"code": "context_length_exceeded"}}),
    (413, None),
    (413, {"code": "rate_limit_exceeded", "message": "Request too large for model"}),
    *(
        (400, {"message": text, "code": 400, "type": "BadRequestError"})
        for text in (
            "This model's maximum context length is 4096 tokens. However, you requested 5000.",
            "Requested tokens (600) exceed context window of 512",
            "the request exceeds the available context size, try increasing it",
            "prompt is too long: 212345 tokens > 200000 maximum",
            "The input token count (1200000) exceeds the maximum number of tokens (1048576)",
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "Input is too long for requested model.",
            "Please reduce the length of the messages or completion.",
            "Your request exceeded model token limit: 262144",
            "invalid params, context window exceeds limit",
            "Range of input length should be [1, 30720]",
            "Prompt contains 33000 tokens, too large for model with 32768 maximum context length",
            "`inputs` tokens + `max_new_tokens` must be <= 4097",
        )
    ),
]
OTHER_BODIES: list[tuple[int, Any]] = [
    (400, {"message": "Invalid schema for function 'add': array schema missing items"}),
    (401, {"message": "maximum context length"}),
    (429, {"message": "Rate limit reached: please reduce the length of your pauses"}),
    (400, None),
    (400, "nothing"),
    (400, {"message": {"a": 1}, "code": ["x"]}),
]


@pytest.mark.parametrize(("status", "body"), FULL_BODIES)
def test_a_full_context_is_known_by_its_code_or_its_words(status: int, body: Any) -> None:
    """Of OpenAI's API and of those that only say so."""
    assert refusal_reason(status, body) == CONTEXT_FULL


@pytest.mark.parametrize(("status", "body"), OTHER_BODIES)
def test_other_refusals_are_not_taken_for_it(status: int, body: Any) -> None:
    """A shorter history would not help them."""
    assert refusal_reason(status, body) is None


def test_a_refused_prompt_is_known() -> None:
    """By the code, or by the words."""
    assert refusal_reason(400, {"code": "content_filter"}) == FILTERED
    assert refusal_reason(400, {"message": "Content Exists Risk"}) == FILTERED


def too_long(body: Body) -> str | None:
    """Refuse more messages than fit, as by the code."""
    messages = [m for m in messages_of(body) if m.get("role") != "system"]
    return "too long" if len(messages) > MAX_MESSAGES else None


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


@pytest.fixture(params=KINDS)
def bench(upstream: Upstream, request: pytest.FixtureRequest) -> Iterator[AgentBench]:
    """An agent of each kind on the engine."""
    kinds = Kinds(upstream)
    bench = AgentBench(kinds.make(request.param, [add]), upstream)
    yield bench
    bench.turns.run(kinds.close)
    bench.close()


def said_to(upstream: Upstream) -> list[str]:
    """The texts of the newest request's messages."""
    messages = messages_of(upstream.requests[-1].body)
    return [text_of(message.get("content")) for message in messages]


def test_a_conversation_that_is_too_long_is_asked_again_without_its_older_part(
    bench: AgentBench, upstream: Upstream
) -> None:
    """Whole exchanges go, the user is told, and the turn is done; also within its steps."""
    for number in range(6):
        assert bench.talk((Text((f"Answer {number}.",)),), key=KEY)[-1]["type"] == "done"
    upstream.refusals, upstream.refusal = [too_long], FULL
    status, token, done = bench.talk((Text(("Last.",)),), key=KEY)
    assert status == {"type": "status", "content": SHORTENED}
    assert (token["content"], done["type"]) == ("Last.", "done")
    answers = [text for text in said_to(upstream) if text.startswith("Answer")]
    assert answers == ["Answer 3.", "Answer 4.", "Answer 5."]


def test_a_message_that_is_too_long_alone_ends_its_turn_and_no_later_one(
    bench: AgentBench, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names its reason, in the log too, and the message leaves the history."""
    bench.talk((Text(("First.",)),), key=KEY)
    *_, error = bench.talk((FULL,), key=KEY)
    assert (error["code"], error["retryable"]) == ("upstream_error", False)
    assert error["details"] == {"status": 400, "reason": "context_length_exceeded"}
    assert "too long for the model" in caplog.text
    refused = said_to(upstream)[-1]
    assert bench.talk((Text(("Second.",)),), key=KEY)[-1]["reply"] == "Second."
    assert refused not in said_to(upstream)
    assert "First." in said_to(upstream)


def test_a_message_that_a_filter_refuses_leaves_the_history(
    bench: AgentBench, upstream: Upstream
) -> None:
    """Or it would be refused with each later message."""
    *_, error = bench.talk((Refuse(400, code="content_filter"),), key=KEY)
    assert error["details"] == {"status": 400, "reason": "content_filter"}
    assert not error["retryable"]
    refused = said_to(upstream)[-1]
    bench.talk((Text(("Fine.",)),), key=KEY)
    assert refused not in said_to(upstream)
    shown = bench.turns.store.history(KEY)
    assert shown is not None
    assert refused in str(shown.messages)


def test_a_message_whose_answer_had_begun_stays(bench: AgentBench, upstream: Upstream) -> None:
    """The user has seen an answer to it."""
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    *_, error = bench.talk((Text(("I add.",)), calls), (Refuse(400),), key=KEY)
    assert error["type"] == "error"
    question = next(text for text in said_to(upstream) if "scripts" in text)
    bench.talk((Text(("Fine.",)),), key=KEY)
    assert question in said_to(upstream)


def test_a_cancelled_message_stays(bench: AgentBench, upstream: Upstream) -> None:
    """Nobody refused it: the user may go on from it."""
    run = bench.start((Stall(),), key=KEY)
    question = text_of(messages_of(upstream.wait_request().body)[-1].get("content"))
    bench.turns.runner.cancel(KEY, None, "user")
    assert run.wait_ended(10)
    bench.talk((Text(("Fine.",)),), key=KEY)
    assert question in said_to(upstream)


def test_a_refused_message_leaves_what_a_graph_remembers(upstream: Upstream) -> None:
    """A checkpointer has it from the moment in which the graph begins."""
    graph = builder_of(asking(make_model(upstream), ()), ()).compile(checkpointer=InMemorySaver())
    bench = AgentBench(LangGraphAgent(graph), upstream)
    bench.talk((Text(("First.",)),), key=KEY)
    bench.talk((Refuse(400, code="content_filter"),), key=KEY)
    refused = said_to(upstream)[-1]
    assert bench.talk((Text(("Fine.",)),), key=KEY)[-1]["reply"] == "Fine."
    assert refused not in said_to(upstream)
    assert "First." in said_to(upstream)
    bench.close()
