"""How calls of MCP tools are made: approved, in order, with their progress and new tools."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp_types import Tool, ToolAnnotations

from tests.agents.bench import AgentBench, events_of
from tests.support.mcp_rig import ODD_PROGRAM, stdio
from tests.support.upstream import Upstream
from tests.support.upstream_script import AnyStep, Call, Text, ToolCalls
from wsgi_app import OpenAIAgent
from wsgi_app.agents import approve
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.mcp.tools import asks_first
from wsgi_app.agents.tool_offer import MAX_TOOLS

SAY = (Text(("Done.",)),)


def calls(*names: str, arguments: str = '{"name": "%s"}') -> tuple[AnyStep, ...]:
    """One step of the model that calls tools, each with a name of its own."""
    made = [Call(f"c{at}", name, arguments % f"{name}-{at}") for at, name in enumerate(names)]
    return (ToolCalls(tuple(made)),)


class Talk:
    """The built-in agent with one server. Used by the test's thread alone."""

    def __init__(self, upstream: Upstream, *tools: Any, **options: Any) -> None:
        agent = OpenAIAgent("test-model", tools=list(tools), **options)
        self.session: Any = agent.open_session()
        self.bench = AgentBench(self.session, upstream)

    def __call__(self, *scripts: tuple[AnyStep, ...], answer: Any = True) -> list[dict[str, Any]]:
        """Run a turn, and close the session."""
        with closing(self.session):
            run = self.bench.start(*scripts)
            self.bench.finish(run, answer)
        self.bench.close()
        return events_of(run)


@pytest.fixture(autouse=True)
def environment(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted provider is the model's."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where a server writes what happens to it."""
    return tmp_path / "notes"


def order(notes: Path) -> list[str]:
    """What the server's slow tools have begun and ended."""
    lines = notes.read_text().splitlines()
    return [line for line in lines if line.startswith(("begin", "end "))]


def test_calls_that_change_something_run_one_after_the_other(
    upstream: Upstream, notes: Path
) -> None:
    """In the model's order; calls that only look do not wait for them."""
    step = calls("change", "change", "look", "change")
    events = Talk(upstream, stdio(notes, program=ODD_PROGRAM))(step, SAY)
    outputs = {e["call_id"]: e["output"] for e in events if e["type"] == "tool_result"}
    assert outputs == {"c0": "change-0", "c1": "change-1", "c2": "look-2", "c3": "change-3"}
    noted = order(notes)
    changes = [line for line in noted if "change" in line]
    assert changes == [f"{what} change-{at}" for at in (0, 1, 3) for what in ("begin", "end")]
    assert noted.index("begin look-2") < noted.index("end change-1")


@pytest.mark.slow
def test_calls_may_run_at_the_same_time(upstream: Upstream, notes: Path) -> None:
    """``parallel_calls`` says that the server's calls do not disturb each other."""
    server = stdio(notes, program=ODD_PROGRAM, parallel_calls=True)
    Talk(upstream, server)(calls("change", "change"), SAY)
    noted = order(notes)
    assert sorted(noted[:2]) == ["begin change-0", "begin change-1"]


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ("destructive", ["bare", "destructive"]),
        ("always", ["bare", "destructive", "harmless", "read_only"]),
        (["read_only"], ["read_only"]),
        (None, []),
    ],
)
def test_calls_are_approved_by_what_the_server_says_of_them(option: Any, asked: list[str]) -> None:
    """``destructive`` asks for each tool that is not declared harmless or a mere look."""
    server = McpServer.stdio("true", **({"approve": option} if option else {}))
    hints = {
        "bare": None,
        "destructive": ToolAnnotations(destructive_hint=True),
        "harmless": ToolAnnotations(destructive_hint=False),
        "read_only": ToolAnnotations(read_only_hint=True),
    }
    tools = [Tool(name=name, input_schema={}, annotations=one) for name, one in hints.items()]
    assert [tool.name for tool in tools if asks_first(server.approve, tool)] == asked


def test_a_tool_that_is_not_approved_does_not_run(upstream: Upstream, notes: Path) -> None:
    """`approve` guards a whole server; the user's no is told to the model."""
    server = approve(stdio(notes, program=ODD_PROGRAM))
    events = Talk(upstream, server)(calls("change"), SAY, answer=False)
    (asked,) = [event for event in events if event["type"] == "input_request"]
    assert asked["prompt"] == 'Allow change({"name": "change-0"})?'
    (result,) = [event for event in events if event["type"] == "tool_result"]
    assert result["output"] == {"error": "the user did not allow this call"}
    assert order(notes) == []


def test_progress_is_shown(upstream: Upstream, notes: Path) -> None:
    """What a tool tells of its progress is a status of the turn."""
    step = (ToolCalls((Call("c1", "count_up", "{}"),)),)
    events = Talk(upstream, stdio(notes, program=ODD_PROGRAM))(step, SAY)
    told = [event["content"] for event in events if event["type"] == "status"]
    assert told == ["count_up: reading (1 of 3)", "count_up: 2 of 3"]


@pytest.mark.parametrize("protocol", [pytest.param("legacy", marks=pytest.mark.slow), "auto"])
def test_a_tool_that_comes_in_the_middle_of_a_turn_is_there_at_once(
    upstream: Upstream, notes: Path, protocol: str
) -> None:
    """The model's next step has it."""
    server = stdio(notes, program=ODD_PROGRAM, protocol=protocol)
    grow = (ToolCalls((Call("c1", "grow", "{}"),)),)
    use = (ToolCalls((Call("c2", "grown", "{}"),)),)
    events = Talk(upstream, server)(grow, use, SAY)
    outputs = [event["output"] for event in events if event["type"] == "tool_result"]
    assert outputs == ["grown", "new"]
    listed = [[t["function"]["name"] for t in r.body["tools"]] for r in upstream.requests]
    assert ["grown" in names for names in listed] == [False, True, True]


@pytest.mark.slow
def test_one_budget_holds_for_functions_and_servers(
    upstream: Upstream, notes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server's 200 tools and a function: 128 in each request, with a search for the others."""

    def own() -> str:
        """Be the agent's own."""
        return "own"

    find = (ToolCalls((Call("c1", "find_tool", '{"query": "greet 199"}'),)),)
    use = (ToolCalls((Call("c2", "greet_199", '{"name": "you"}'),)),)
    server = stdio(notes, {"EXTRA_TOOLS": "200"}, name="many")
    events = Talk(upstream, own, server)(find, use, SAY)
    outputs = [event["output"] for event in events if event["type"] == "tool_result"]
    assert outputs[0]["tools"][0] == {"name": "greet_199", "description": "Greet someone."}
    assert outputs[1] == "Hello you"
    listed = [[t["function"] for t in r.body["tools"]] for r in upstream.requests]
    assert all(len(tools) <= MAX_TOOLS for tools in listed)
    names = [tool["name"] for tool in listed[0]]
    assert names[0] == "own"
    assert "greet_199" not in names
    assert "not listed here: many (" in listed[0][names.index("find_tool")]["description"]
    assert "tools are left out" in caplog.text


def test_too_many_tools_of_a_server_end_the_turn_where_that_is_set(
    upstream: Upstream, notes: Path
) -> None:
    """With ``refuse`` the turn's error says how many there are; the model is not asked."""
    talk = Talk(upstream, stdio(notes), max_tools=10, too_many_tools="refuse")
    (error,) = talk(SAY)
    count = error["details"]["tools"]
    assert count > 10
    assert error["message"] == f"The agent has {count} tools, more than 10."
    assert upstream.requests == []


def test_options_are_checked_when_they_are_given() -> None:
    """A word that is none of an option's is refused at once."""
    with pytest.raises(ValueError, match="approve is one of"):
        McpServer.stdio("true", approve="sometimes")
    with pytest.raises(ValueError, match="protocol is one of"):
        McpServer.http("http://127.0.0.1:1/mcp", protocol="2024-11-05")
