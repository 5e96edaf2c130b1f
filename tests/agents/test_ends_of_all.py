"""When an answer is whole, cut or broken: one table, for every kind of agent and both APIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct

from tests.agents.bench import AgentBench
from tests.support.agent_kinds import KINDS, Kinds
from tests.support.conversation import add
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Cut,
    Data,
    EndOfFile,
    Finish,
    Reasoning,
    Text,
    ToolCalls,
    chunk,
)
from wsgi_app.agents import openai_client
from wsgi_app.agents.answer_end import CUT_OFF

HELLO = Text(("Hel", "lo"))


class End(Struct, frozen=True):
    """How a turn ends."""

    type: str
    is_cut: bool = False
    retryable: bool | None = None
    reason: str | None = None
    status: int | None = None


DONE = End("done")
BROKEN = End("error", retryable=True)
FAILED: dict[str, AnyStep] = {
    "chat": Data({"error": {"message": "secret", "code": 503}}),
    "responses": Data(
        {
            "type": "response.failed",
            "sequence_number": 9,
            "response": {
                "id": "r",
                "object": "response",
                "created_at": 1,
                "model": "m",
                "status": "failed",
                "output": [],
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
                "error": {"code": "server_error", "message": "secret"},
            },
        }
    ),
}
#: The steps of an answer, and how its turn ends; None for a step stands for `FAILED`.
ENDS: dict[str, tuple[tuple[AnyStep | None, ...], End]] = {
    "whole": ((HELLO,), DONE),
    "cut by the length limit": ((HELLO, Finish("length")), End("done", is_cut=True)),
    "nothing within the length limit": (
        (Reasoning(("Hm.",)), Finish("length")),
        End("error", retryable=False, reason="length"),
    ),
    "stopped by a filter": (
        (HELLO, Finish("content_filter")),
        End("error", retryable=False, reason="content_filter"),
    ),
    "ended without a reason": ((HELLO, EndOfFile()), BROKEN),
    "connection closed": ((HELLO, Cut()), BROKEN),
    "connection reset": ((HELLO, Cut(reset=True)), BROKEN),
    "thoughts alone": ((Reasoning(("Hm.",)),), BROKEN),
    "failed in mid-answer": ((HELLO, None), BROKEN),
}
#: In the chat API alone.
CHAT_ENDS: dict[str, tuple[tuple[AnyStep, ...], End]] = {
    "a reason that nobody knows": ((HELLO, Data(chunk({}, "network_error")), EndOfFile()), BROKEN),
    "calls that never came": ((HELLO, Data(chunk({}, "tool_calls")), EndOfFile()), BROKEN),
}
#: The Agents SDK tells no reasons of the chat API, so its agent cannot tell these apart.
NOT_TOLD = {
    ("agents-sdk chat", name)
    for name in (
        *("cut by the length limit", "stopped by a filter", "ended without a reason"),
        *("a reason that nobody knows", "calls that never came"),
    )
}
ROWS = [
    pytest.param(kind, steps, end, id=f"{kind}: {name}")
    for kind in KINDS
    for name, (steps, end) in {**ENDS, **(CHAT_ENDS if "chat" in kind else {})}.items()
    if (kind, name) not in NOT_TOLD
]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The scripted provider."""
    monkeypatch.setattr(openai_client, "RETRY_SECONDS", 0.02)
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


@pytest.mark.parametrize(("kind", "steps", "end"), ROWS)
def test_every_agent_says_the_same_of_an_answers_end(
    upstream: Upstream, kind: str, steps: tuple[Any, ...], end: End
) -> None:
    """The type of the turn's end, whether it may be tried again, and that a cut is told."""
    kinds = Kinds(upstream)
    bench = AgentBench(kinds.make(kind, [add]), upstream)
    api = kind.split(" ")[1]
    events = bench.talk(tuple(FAILED[api] if step is None else step for step in steps))
    last = events[-1]
    assert last["type"] == end.type, events
    assert last.get("retryable") == end.retryable, events
    assert ({"type": "status", "content": CUT_OFF} in events) == end.is_cut, events
    assert (last.get("code") == "upstream_error") == (end.type == "error"), events
    if end.reason:
        assert last["details"]["finish_reason"] == end.reason
    bench.turns.run(kinds.close)
    bench.close()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "agents-sdk responses"])
def test_every_agent_runs_whole_calls_at_the_length_limit(upstream: Upstream, kind: str) -> None:
    """They are what the model wants; but the Agents SDK takes no response that is incomplete."""
    kinds = Kinds(upstream)
    bench = AgentBench(kinds.make(kind, [add]), upstream)
    calls = ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))
    events = bench.talk((calls, Finish("length")), (Text(("3",)),))
    assert [event["type"] for event in events] == ["tool_call", "tool_result", "token", "done"]
    bench.turns.run(kinds.close)
    bench.close()
