"""The built-in agent in the conversation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.bench import AgentBench, events_of
from tests.support.conversation import (
    FAILURE,
    PROMPT,
    REPLY,
    USAGE,
    add,
    pick_colour,
    read_file,
)
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from wsgi_app import OpenAIAgent

#: What every kind of agent should say; where one differs, its test says how and why.
GOLDEN = [
    {"type": "token", "content": "Let me look. "},
    {
        "type": "tool_call",
        "tool": "add",
        "call_id": "call-1",
        "input": {"a": 2, "b": 3},
        "status": "running",
    },
    {
        "type": "tool_call",
        "tool": "read_file",
        "call_id": "call-2",
        "input": {"name": "notes.txt"},
        "status": "running",
    },
    {
        "type": "tool_call",
        "tool": "pick_colour",
        "call_id": "call-3",
        "input": {},
        "status": "running",
    },
    {"type": "input_request", "request_id": "request-1", "prompt": PROMPT},
    {"type": "tool_result", "tool": "add", "call_id": "call-1", "output": 5, "status": "complete"},
    {
        "type": "tool_result",
        "tool": "read_file",
        "call_id": "call-2",
        "output": {"error": f"FileNotFoundError: {FAILURE}"},
        "status": "error",
    },
    {
        "type": "tool_result",
        "tool": "pick_colour",
        "call_id": "call-3",
        "output": "blue",
        "status": "complete",
    },
    {"type": "token", "content": "The sum is 5, the colour blue."},
    {
        "type": "done",
        "reply": REPLY,
        "session_id": "session-1",
        "turn_id": "1",
        "usage": USAGE,
    },
]


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


def test_the_conversation_reads_as_it_should(bench: AgentBench) -> None:
    """Two steps, three tools, one failing, one asking: the events come in the golden order."""
    assert bench.transcript() == GOLDEN


def test_a_cancel_ends_it_at_any_point(bench: AgentBench) -> None:
    """A cancel at a random point ends the turn within 200 ms, and its request to the provider."""
    bench.cancel_anywhere()


@pytest.mark.slow
def test_two_hundred_turns_leave_nothing(bench: AgentBench) -> None:
    """No thread, task, file or process is left of 200 turns, half of them cancelled."""
    bench.leave_nothing(200)


def test_a_thread_comes_with_the_first_tool(bench: AgentBench) -> None:
    """A turn that only waits for its model has no thread; one whose model calls a tool gets one."""
    alone = bench.start((Text(("hello",)),))
    bench.finish(alone)
    assert alone.thread is None
    with_tool = bench.start((ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)),), (Text(("3",)),))
    bench.finish(with_tool)
    assert with_tool.thread is not None
    assert events_of(with_tool)[-1]["reply"] == "3"
