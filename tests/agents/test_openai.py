"""The built-in agent in the conversation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.bench import AgentBench, events_of
from tests.support.conversation import (
    add,
    pick_colour,
    read_file,
)
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from wsgi_app import OpenAIAgent


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentBench]:
    """The agent on the engine, its model at the scripted provider."""
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        agent = OpenAIAgent("test-model", tools=[add, read_file, pick_colour])
        bench = AgentBench(agent, upstream)
        yield bench
        bench.close()


def test_a_thread_comes_with_the_first_tool(bench: AgentBench) -> None:
    """A turn that only waits for its model has no thread; one whose model calls a tool gets one."""
    alone = bench.start((Text(("hello",)),))
    bench.finish(alone)
    assert alone.thread is None
    with_tool = bench.start((ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)),), (Text(("3",)),))
    bench.finish(with_tool)
    assert with_tool.thread is not None
    assert events_of(with_tool)[-1]["reply"] == "3"
