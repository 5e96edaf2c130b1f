"""What goes back to a provider: nothing that any of them refuses, from any agent, in any turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.agents.bench import AgentBench
from tests.support.agent_kinds import KINDS, Kinds
from tests.support.conversation import add, pick_colour
from tests.support.each import each
from tests.support.turns import events_of
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import (
    REFUSALS,
    items_name_their_type,
    reasoning_stays_with_calls,
)
from tests.support.upstream_script import (
    Call,
    Data,
    Reasoning,
    Refuse,
    Stall,
    Text,
    ToolCalls,
    chunk,
)
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent
from wsgi_app.store.base import SessionKey
from wsgi_app.wires.openai.request.messages import read_messages, split_at_newest

KEY = SessionKey("tenant", "refusals")
ADD = ToolCalls((Call("functions.add:0", "add", '{"a": 1, "b": 2}'),))


def area(size: tuple[float, float]) -> float:
    """Multiply two numbers."""
    return size[0] * size[1]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The scripted provider, which refuses all that any of them does."""
    with Upstream(refusals=REFUSALS) as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of agent, with each API."""
    return str(request.param)


@pytest.fixture
def bench(upstream: Upstream, kind: str) -> Iterator[AgentBench]:
    """An agent of a kind on the engine."""
    kinds = Kinds(upstream)
    tools: list[Callable[..., Any]] = [add, pick_colour]
    if kind.startswith("openai"):  # the schemas of frameworks' tools are the frameworks' own
        tools.append(area)
    if kind == "pydantic-ai responses":  # its own form of items, without a type
        upstream.refusals = [one for one in REFUSALS if one is not items_name_their_type]
    bench = AgentBench(kinds.make(kind, tools), upstream)
    yield bench
    bench.turns.run(kinds.close)
    bench.close()


def test_turns_that_end_in_any_way_leave_nothing_to_refuse(
    bench: AgentBench, upstream: Upstream, kind: str
) -> None:
    """Tools, calls of bad arguments and names, a cancel in a tool, a failed turn, the same ids."""
    odd = ToolCalls((Call("c2", "add", '{"a": 1'), Call("c3", "add", "[1]")))
    made_up = ToolCalls((Call("c4", "add<|channel|>commentary", "{}"),))
    steps = [(Text(("I add.",)), ADD), (ADD,), (Text(("It is 3.",)),)]
    if kind.startswith("openai"):  # the frameworks end a turn by these themselves
        steps[1:1] = [(odd,), (made_up,)]
    assert bench.talk(*steps, key=KEY)[-1]["type"] == "done", upstream.refused
    asking = ToolCalls((Call("functions.pick:0", "pick_colour", "{}"),))
    run = bench.start((Text(("Well. ",)), asking), key=KEY)
    wait_for(lambda: run.questions.waiting, "the question")
    bench.turns.runner.cancel(KEY, None, "user")
    assert bench.talk((Refuse(400),), key=KEY)[-1]["type"] == "error"
    before = len(upstream.requests)
    silent = bench.start((Stall(),), key=KEY)
    upstream.wait_request(before + 1)
    bench.turns.runner.cancel(KEY, None, "user")
    assert silent.wait_ended(10)
    events = bench.talk((ADD,), (Text(("Bye.",)),), key=KEY)
    assert events[-1]["type"] == "done", (events, upstream.refused)
    assert upstream.refused == []


CLIENTS: list[dict[str, Any]] = [
    {"role": "system", "content": "In French."},
    {"role": "user", "content": "One?"},
    {
        "role": "assistant",
        "content": "",
        "refusal": None,
        "tool_calls": [
            {
                "id": "functions.get:0",
                "type": "function",
                "index": 0,
                "function": {"name": "get it", "arguments": '{"a": '},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "functions.get:0", "content": "The first"},
    {"role": "assistant", "content": ""},
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "Two?", "name": "Ann"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "functions.get:0",
                "type": "function",
                "function": {"name": "get", "arguments": "{}"},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "functions.get:0", "content": "The second"},
    {"role": "assistant", "content": "Two.", "annotations": []},
    {"role": "user", "content": "Three?"},
]


def test_a_history_of_the_clients_own_is_mended(bench: AgentBench, upstream: Upstream) -> None:
    """Instructions anywhere, empty answers, bad arguments, and the same id for two calls."""
    history, _ = split_at_newest(read_messages(CLIENTS), "messages")
    events = bench.talk((Text(("Three.",)),), history=history, ephemeral=True)
    assert events[-1]["type"] == "done", upstream.refused
    assert upstream.refused == []
    sent = str(upstream.requests[-1].body)
    assert [sent.count(result) for result in ("The first", "The second")] == [1, 1]
    assert all(text in sent for text in ("In French.", "Be brief.", "One?", "Two."))


def test_reasoning_goes_back_with_its_calls_in_later_turns() -> None:
    """Kimi and DeepSeek refuse a conversation without; a call without gets what Kimi takes."""
    with Upstream(refusals=[reasoning_stays_with_calls]) as upstream:
        kinds = Kinds(upstream)
        agent = OpenAIAgent("kimi", [add], client=kinds.client)
        bench = AgentBench(agent, upstream)
        bench.talk((Reasoning(("I ", "add.")), ADD), (Text(("3",)),), key=KEY)
        more = ToolCalls((Call("functions.add:1", "add", '{"a": 1, "b": 2}'),))
        bench.talk((Reasoning(("Again.",)), ADD), (more,), (Text(("3",)),), key=KEY)
        assert bench.talk((Text(("Bye.",)),), key=KEY)[-1]["type"] == "done"
        assert upstream.refused == []
        messages = upstream.requests[-1].body["messages"]
        told = [m["reasoning_content"] for m in messages if m.get("tool_calls")]
        assert told == ["I add.", "Again.", " "]
        other = OpenAIAgent("another-model", [add], client=kinds.client)
        bench.turns.start(other, key=KEY).wait_ended(10)
        messages = upstream.requests[-1].body["messages"]
        assert not any("reasoning_content" in message for message in messages)
        bench.turns.run(kinds.close)
        bench.close()


def test_signed_reasoning_goes_back_with_its_calls() -> None:
    """OpenRouter's encrypted details, as they came."""
    with Upstream() as upstream:
        kinds = Kinds(upstream)
        bench = AgentBench(OpenAIAgent("m", [add], client=kinds.client), upstream)
        details = [{"type": "reasoning.encrypted", "data": "c2ln", "id": "c1", "index": 0}]
        bench.talk((Data(chunk({"reasoning_details": details})), ADD), (Text(("3",)),), key=KEY)
        bench.talk((Text(("Bye.",)),), key=KEY)
        for request in each(upstream.requests[1:], 2):
            assert request.body["messages"][1]["reasoning_details"] == details
        bench.turns.run(kinds.close)
        bench.close()


def test_nothing_is_expected_to_be_stored_where_nothing_is() -> None:
    """With ``store: false`` the encrypted reasoning is asked for and sent back, without ids."""
    with Upstream(refusals=REFUSALS) as upstream:
        kinds = Kinds(upstream)
        options: dict[str, Any] = {"store": False, "include": ["message.output_text.logprobs"]}
        agent = kinds.make("openai responses", [add], options=options, client=kinds.client)
        bench = AgentBench(agent, upstream)
        events = bench.talk((Reasoning(("Hm.",)), Text(("I add.",)), ADD), (Text(("3",)),))
        assert (events[-1]["type"], upstream.refused) == ("done", [])
        first, second = (request.body for request in upstream.requests)
        assert first["include"] == [*options["include"], "reasoning.encrypted_content"]
        reasoning, *_ = (i for i in second["input"] if i["type"] == "reasoning")
        assert reasoning["encrypted_content"]
        assert not any("id" in item for item in second["input"])
        bench.turns.run(kinds.close)
        bench.close()


def test_a_call_of_a_made_up_name_is_shown_as_the_model_wrote_it(upstream: Upstream) -> None:
    """The user sees the name as it is; the provider gets one that it takes."""
    kinds = Kinds(upstream)
    bench = AgentBench(OpenAIAgent("m", [add], client=kinds.client), upstream)
    run = bench.start((ToolCalls((Call("c1", "add<|x|>", "{}"),)),), (Text(("No.",)),))
    assert run.wait_ended(10)
    assert getattr(events_of(run)[0], "tool", "") == "add<|x|>"
    (call,) = upstream.requests[-1].body["messages"][1]["tool_calls"]
    assert call["function"]["name"] == "add__x__"
    bench.turns.run(kinds.close)
    bench.close()
