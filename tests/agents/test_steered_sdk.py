"""A run of the OpenAI Agents SDK takes what its user says with its model's next request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from agents import Agent, OpenAIChatCompletionsModel, RunConfig, SQLiteSession, function_tool
from agents.run_config import ModelInputData

from tests.agents.bench import Host
from tests.agents.steering import Gate, call, finish, kinds, said
from tests.support.agent_kinds import Kinds
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text, Usage
from tests.support.waiting import wait_for
from wsgi_app.agents.openai_agents import AgentsSdkAgent
from wsgi_app.store.base import SessionKey


class Sdk:
    """Makes agents at the provider."""

    def __init__(self, upstream: Upstream) -> None:
        self._kinds = Kinds(upstream)

    def agent(self, tools: Sequence[Any] = (), **options: Any) -> Agent[Any]:
        """One of the SDK's."""
        model = OpenAIChatCompletionsModel("test-model", self._kinds.client)
        return Agent(name=options.pop("name", "main"), model=model, tools=list(tools), **options)

    async def close(self, turn: Any) -> None:
        """End the client."""
        await self._kinds.close(turn)


@pytest.fixture
def sdk(host: Host, upstream: Upstream) -> Any:
    """It."""
    made = Sdk(upstream)
    yield made
    host(made.close).turns.run(made.close)


def held(gate: Gate, **options: Any) -> Any:
    """The tool that waits, as the SDK has it."""

    async def hold() -> str:
        import asyncio  # noqa: PLC0415 - where it is used

        return await asyncio.to_thread(gate.hold)

    return function_tool(hold, **options)


def test_the_next_request_has_it_and_all_behind_it(
    host: Host, upstream: Upstream, sdk: Sdk
) -> None:
    """Behind the results of the step, in one message, and in that place in later requests."""
    gate = Gate()

    async def look() -> str:
        return "seen"

    steps = ((call("hold", "look"),), (call("look"),), (Text(("Left.",)),))
    for step in steps:
        upstream.script(*step)
    bench = host(AgentsSdkAgent(sdk.agent([held(gate), function_tool(look)])))
    run = bench.turns.start(bench.turns.remembering, "hi")
    gate.say(run, "go left", "and quickly")
    events = finish(bench, run)
    assert events[-1]["reply"] == "Left."
    roles = ["user", "assistant", "tool", "tool", "user", "assistant", "tool"]
    assert kinds(upstream) == roles
    assert upstream.requests[-1].body["messages"][4]["content"] == "go left\n\nand quickly"
    statuses = [event["status"] for event in events if event["type"] == "steered"]
    assert statuses == ["waiting", "waiting", "taken", "taken"]


def test_what_comes_with_the_last_words_is_answered_too(
    host: Host, upstream: Upstream, sdk: Sdk
) -> None:
    """A run more in the same turn, whose tokens count too; the next turn's model knows all."""
    bench, key = host(AgentsSdkAgent(sdk.agent())), SessionKey("tenant", "s")
    run = bench.start((Text(tuple("abcd"), pace_seconds=0.1), Usage(7, 3)), key=key)
    wait_for(lambda: run.log.last_seq > 0, "the first token")
    run.steering.offer("one", said(Text(("And that.",)), Usage(2, 1)))
    done = finish(bench, run)[-1]
    assert done["reply"] == "abcd\n\nAnd that."
    assert done["usage"] == {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    assert kinds(upstream) == ["user", "assistant", "user"]
    assert bench.talk((Text(("Next.",)),), key=key)[-1]["reply"] == "Next."
    assert kinds(upstream) == ["user", "assistant", "user", "assistant", "user"]


def test_the_last_request_takes_no_more(host: Host, upstream: Upstream, sdk: Sdk) -> None:
    """Nothing is taken that nobody could answer."""
    del upstream
    bench = host(AgentsSdkAgent(sdk.agent(), max_turns=1))
    run = bench.start((Text(tuple("abcd"), pace_seconds=0.1),))
    wait_for(lambda: run.log.last_seq > 0, "the first token")
    assert not run.steering.is_open
    assert finish(bench, run)[-1]["reply"] == "abcd"


def test_a_question_in_between_keeps_it(host: Host, upstream: Upstream, sdk: Sdk) -> None:
    """What was taken before an approval stays in its place behind it."""
    gate = Gate()

    async def pay() -> str:
        return "paid"

    for step in ((call("hold"),), (call("pay"),), (Text(("Left.",)),)):
        upstream.script(*step)
    tools = [held(gate), function_tool(pay, needs_approval=True)]
    bench = host(AgentsSdkAgent(sdk.agent(tools)))
    run = bench.turns.start(bench.turns.remembering, "hi")
    gate.say(run, "go left")
    bench.finish(run, answer=True)
    assert finish(bench, run)[-1]["reply"] == "Left."
    assert kinds(upstream) == ["user", "assistant", "tool", "user", "assistant", "tool"]


def test_an_agent_that_is_a_tool_is_not_told(host: Host, upstream: Upstream, sdk: Sdk) -> None:
    """What the user says is for the turn's own agent."""
    gate = Gate()
    helper = sdk.agent([held(gate)], name="helper")
    tool = helper.as_tool("helper", "Helps.", on_stream=lambda _: None)
    bench = host(AgentsSdkAgent(sdk.agent([tool])))
    outer = call("helper", arguments={"input": "inner"})
    for step in (outer, call("hold"), Text(("Done.",)), Text(("Left.",))):
        upstream.script(step)
    run = bench.turns.start(bench.turns.remembering, "hi")
    gate.say(run, "go left")
    assert finish(bench, run)[-1]["reply"] == "Left."
    asked = [[m.get("content") for m in one.body["messages"]] for one in upstream.requests]
    assert [messages.count("go left") for messages in asked] == [0, 0, 0, 1]
    assert kinds(upstream) == ["user", "assistant", "tool", "user"]


def test_a_filter_of_ones_own_has_it_too(host: Host, upstream: Upstream, sdk: Sdk) -> None:
    """The site's own filter gets the words among the items, and has the last say."""
    gate = Gate()

    def shouted(data: Any) -> ModelInputData:
        items: list[Any] = [
            {**item, "content": item["content"].upper()} if item.get("role") == "user" else item
            for item in data.model_data.input
        ]
        return ModelInputData(items, data.model_data.instructions)

    config = RunConfig(tracing_disabled=True, call_model_input_filter=shouted)
    bench = host(AgentsSdkAgent(sdk.agent([held(gate)]), run_config=config))
    for step in ((call("hold"),), (Text(("Left.",)),)):
        upstream.script(*step)
    run = bench.turns.start(bench.turns.remembering, "hi")
    gate.say(run, "go left")
    assert finish(bench, run)[-1]["reply"] == "Left."
    assert upstream.requests[-1].body["messages"][-1]["content"] == "GO LEFT"


def test_a_session_of_the_sdks_listens_to_nobody(sdk: Sdk) -> None:
    """It would not remember what was said."""
    made = AgentsSdkAgent(sdk.agent(), session=SQLiteSession)
    assert not made.takes_steering
    assert AgentsSdkAgent(sdk.agent()).takes_steering
