"""Tools of real MCP servers, over stdio and streamable HTTP."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.agents.bench import AgentBench
from tests.support.conversation import FAILURE, GOLDEN, SCRIPTS, transcript
from tests.support.documentation import block
from tests.support.mcp_rig import (
    CALL_SECONDS,
    MUTE,
    TURN_SECONDS,
    Rig,
    call,
    outcome,
    rigged,
    served,
    stdio,
    wait_asked,
)
from tests.support.mcp_server import QUESTION
from tests.support.processes import child_pids, free_port
from tests.support.upstream import Upstream
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, OpenAIAgent, Turn
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.tools import AnyTool


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where a server writes what happens to it."""
    return tmp_path / "notes"


@pytest.fixture(
    scope="module",
    params=[
        "stdio-old",
        "http",
        pytest.param("stdio", marks=pytest.mark.slow),
        pytest.param("http-old", marks=pytest.mark.slow),
    ],
)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Each transport, with the newest protocol and the ones before; one connection for all."""
    notes = tmp_path_factory.mktemp("mcp") / "notes"
    env = {"LEGACY": "1"} if request.param.endswith("-old") else {}
    with ExitStack() as stack:
        if request.param.startswith("http"):
            _, url = stack.enter_context(served(notes, env))
            server = McpServer.http(url)
        else:
            server = stdio(notes, env)
        rig = stack.enter_context(rigged(notes, server))
        rig.turn(lambda _, tools: tools)  # connects, before a test looks what it leaves behind
        yield rig


def test_tools_are_listed_and_called(rig: Rig) -> None:
    """The model gets each tool's name, text and schema; calls give data, text or parts."""

    def talk(turn: Turn, tools: dict[str, AnyTool]) -> Any:
        assert tools["add"].description == "Add two integers."
        assert set(tools["add"].parameters["properties"]) == {"a", "b"}
        assert tools["odd_n_me"].parameters["properties"] == {}
        return [
            call(turn, tools[name], arguments)
            for name, arguments in [
                ("add", '{"a": 2, "b": 3}'),
                ("greet", '{"name": "you"}'),
                ("odd_n_me", ""),
                ("draw", "{}"),
            ]
        ]

    picture = {"type": "image", "mimeType": "image/png", "size_bytes": 14}
    assert rig.turn(talk) == [5, "Hello you", "odd", ["a dot", picture]]


def test_errors_are_texts_for_the_model(rig: Rig) -> None:
    """A tool's own error and bad arguments are ValueErrors that say what is wrong."""
    error = rig.call("read_file", '{"name": "notes.txt"}')
    assert repr(error) == f"CallRefused('Error executing tool read_file: {FAILURE}')"
    assert "should be a valid integer" in str(rig.call("add", '{"a": "x", "b": 1}'))
    assert str(rig.call("add", "[1]")) == "bad arguments: they must be a JSON object"


def test_a_cancel_does_not_wait_and_reaches_the_server(rig: Rig) -> None:
    """A turn in the middle of a call ends at once, the server's tool too; the next turn works."""
    run = rig.start(lambda turn, tools: call(turn, tools["nap"], '{"seconds": 60}'))
    rig.wait_noted("napping")
    asked_at = time.monotonic()
    rig.turns.runner.cancel(run.fence.key, None, "user")
    assert time.monotonic() - asked_at < 1
    rig.wait_noted("cancelled")
    assert rig.call("add", '{"a": 1, "b": 1}') == 2


@pytest.mark.slow
def test_a_call_has_a_time_limit_but_the_user_has_none(rig: Rig) -> None:
    """A tool that takes too long is an error, which the server is told; an answer may take long."""
    told = rig.noted().count("cancelled")
    hasty = replace(rig.server, call_timeout_seconds=CALL_SECONDS)
    with rigged(rig.notes, hasty) as hurried:
        error = hurried.call("nap", '{"seconds": 60}')
        assert isinstance(error, TimeoutError)
        assert "did not answer in 1 s" in str(error)
        rig.wait_noted("cancelled", told + 1)
        results: list[Any] = []
        run = hurried.start(lambda turn, tools: results.append(call(turn, tools["pick_colour"])))
        wait_asked(run)
        assert not run.wait_ended(CALL_SECONDS + 0.3)
        hurried.answer(run, b'{"colour": "blue"}')
        assert run.wait_ended(TURN_SECONDS)
        assert results == ["blue"]


def test_a_question_of_the_server_is_the_turns_own(rig: Rig) -> None:
    """The server's question goes to the user; a plain text is the answer to an only question."""
    results: list[Any] = []
    run = rig.start(lambda turn, tools: results.append(call(turn, tools["pick_colour"])))
    asked = wait_asked(run)
    assert asked["prompt"] == QUESTION
    assert list(asked["schema"]["properties"]) == ["colour"]
    rig.answer(run, b'"blue"')
    assert run.wait_ended(TURN_SECONDS)
    assert results == ["blue"]


def test_a_declined_question_is_an_error(rig: Rig) -> None:
    """Null is the user's no, which the tool's error tells the model."""
    results: list[Any] = []
    run = rig.start(lambda turn, tools: results.append(outcome(turn, tools["pick_colour"])))
    rig.answer(run, b"null")
    assert run.wait_ended(TURN_SECONDS)
    assert isinstance(results[0], ValueError)


def test_a_cancel_withdraws_the_question(rig: Rig) -> None:
    """A turn that ends while the server asks leaves the connection as it was."""
    run = rig.start(lambda turn, tools: call(turn, tools["pick_colour"]))
    wait_for(lambda: run.questions.waiting, "the question", TURN_SECONDS)
    rig.turns.runner.cancel(run.fence.key, None, "user")
    assert rig.call("add", '{"a": 1, "b": 1}') == 2


def test_calls_run_at_the_same_time(rig: Rig) -> None:
    """Two calls of one turn, in threads of their own, are with the server together."""

    def talk(turn: Turn, tools: dict[str, AnyTool]) -> list[str]:
        names = ['{"name": "Ada"}', '{"name": "Bob"}']
        calls = [turn.start_thread(partial(call, turn, tools["meet"], name)) for name in names]
        return [one.result(TURN_SECONDS) for one in calls]

    assert rig.turn(talk) == ["Ada met someone", "Bob met someone"]


def test_a_program_that_has_ended_is_started_again(notes: Path) -> None:
    """A dead server costs the call in its middle an error; the next call or turn has a new one."""

    def talk(turn: Turn, tools: dict[str, AnyTool]) -> Any:
        return outcome(turn, tools["die"]), call(turn, tools["add"], '{"a": 1, "b": 1}')

    with rigged(notes, stdio(notes)) as rig:
        error, result = rig.turn(talk)
        assert str(error).startswith("the MCP server 'python' has ended; the call may have been")
        assert result == 2
        os.kill(rig.pids()[-1], 9)
        assert rig.call("add", '{"a": 1, "b": 1}') == 2
        assert len(rig.pids()) == 3


@pytest.mark.parametrize(
    "env", [pytest.param({}, marks=pytest.mark.slow), {"LEGACY": "1"}], ids=["new", "old"]
)
def test_an_http_server_that_was_restarted_is_found_again(notes: Path, env: dict[str, str]) -> None:
    """The next turn after a restart connects again; a turn while it is away fails clearly."""
    port = free_port()
    headers = {"Authorization": "Bearer header-secret"}
    server = McpServer.http(f"http://127.0.0.1:{port}/mcp", headers, connect_timeout_seconds=5)
    assert "header-secret" not in repr(server)
    with rigged(notes, server) as rig:
        assert rig.refused()["message"] == "The MCP server '127.0.0.1' cannot be used."
        for _ in range(2):
            with served(notes, env, port):
                assert rig.call("add", '{"a": 1, "b": 1}') == 2
        assert rig.refused()["message"] == "The MCP server '127.0.0.1' cannot be used."
        assert "Bearer header-secret" in rig.noted()


@pytest.mark.parametrize(
    "server",
    [
        McpServer.stdio("/no/such/program", name="it"),
        McpServer.stdio("true", name="it"),
        McpServer.stdio(*MUTE, name="it", connect_timeout_seconds=0.5),
        pytest.param(
            McpServer.stdio("yes", name="it", connect_timeout_seconds=0.5), marks=pytest.mark.slow
        ),
        McpServer.http("http://127.0.0.1:1/mcp", name="it"),
        McpServer.http("no url", name="it"),
    ],
    ids=["missing", "ends", "mute", "babbles", "refuses", "no-url"],
)
def test_a_server_that_is_none_ends_the_turn_with_a_clear_error(
    notes: Path, server: McpServer
) -> None:
    """Whatever is wrong with a server, the turn ends and names it, without foreign text."""
    with rigged(notes, server) as rig:
        assert rig.refused() == {
            "type": "error",
            "code": "agent_error",
            "message": "The MCP server 'it' cannot be used.",
            "details": {"server": "it"},
            "retryable": True,
        }


def test_a_turn_that_waits_for_a_server_can_be_cancelled(notes: Path) -> None:
    """A cancel while the connection is being made ends the turn; closing ends the attempt."""
    children = child_pids(os.getpid())
    with rigged(notes, McpServer.stdio(*MUTE)) as rig:
        run = rig.start(lambda _turn, _tools: None)
        wait_for(lambda: child_pids(os.getpid()) != children, "the program runs", TURN_SECONDS)
        assert rig.turns.runner.cancel(run.fence.key, None, "user")


def test_a_program_gets_no_more_than_it_is_given(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the worker's variables only HOME, PATH and the like reach it, beside its own."""
    monkeypatch.setenv("MCP_TEST_SECRET", "worker-secret")
    with rigged(notes, stdio(notes, {"GIVEN": "yes"})) as rig:
        names = [f'{{"name": "{name}"}}' for name in ("GIVEN", "MCP_TEST_SECRET", "PATH")]
        given = rig.turn(lambda turn, tools: [call(turn, tools["variable"], n) for n in names])
        assert given == ["yes", "", os.environ["PATH"]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of more tools than a model takes."""
    notes = tmp_path_factory.mktemp("mcp") / "notes"
    with served(notes, {"EXTRA_TOOLS": "200"}) as (_, url):
        yield url


def test_only_what_is_wanted_is_listed(notes: Path, url: str) -> None:
    """All pages are read; ``tools`` chooses."""
    chosen = McpServer.http(url, tools=["add", "greet_199"], name="chosen")
    with rigged(notes, chosen, McpServer.http(url)) as rig:
        names = rig.turn(lambda _, tools: list(tools))
        assert names[:2] == ["chosen_add", "chosen_greet_199"]
        assert "greet_198" in names[2:]
        assert len(names) > 2 + 200


def test_each_tool_has_a_name_of_its_own(notes: Path, url: str) -> None:
    """What two servers or a function call alike bears the server's name, and a number at last."""
    wanted = ["add", "greet"]
    servers = [McpServer.http(url, name=name, tools=wanted) for name in ("one", "b!", "b!")]
    taken = ["add", "b__greet"]
    with rigged(notes, *servers, taken=taken) as rig:
        names = ["one_add", "one_greet", "b__add", "b__greet_2", "b__add_2", "b__greet_3"]
        assert rig.turn(lambda _, tools: list(tools)) == names
        assert rig.call("b__add_2", '{"a": 1, "b": 1}') == 2


def test_the_built_in_agent_uses_a_servers_tools(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversation reads as with plain functions, but for the server's words and schema.

    A session keeps its connection for the next turn, and closes it.
    """
    golden: list[Any] = copy.deepcopy(GOLDEN)
    golden[4]["schema"] = colour_schema = {
        "type": "object",
        "properties": {"colour": {"title": "Colour", "type": "string"}},
        "required": ["colour"],
    }
    golden[6]["output"] = {"error": f"Error executing tool read_file: {FAILURE}"}
    with Upstream() as upstream, closing_bench(upstream, monkeypatch, notes) as (bench, session):
        assert transcript(bench.talk(*SCRIPTS)) == golden
        run = bench.start(*SCRIPTS)
        wait_for(lambda: run.questions.waiting, "the question", TURN_SECONDS)
        bench.turns.runner.cancel(run.fence.key, None, "user")
        assert bench.transcript()[4]["schema"] == colour_schema
        assert notes.read_text().count("started") == 1
        session.close()
        assert notes.read_text().count("ended") == 1
        names = [tool["function"]["name"] for tool in upstream.requests[0].body["tools"]]
        assert names[:2] == ["greet", "add"]
        assert "python_greet" in names


@contextmanager
def closing_bench(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, notes: Path
) -> Iterator[tuple[AgentBench, Any]]:
    """The built-in agent's session with one function and one server."""

    def greet(name: str) -> str:
        """Greet someone, as the agent itself does."""
        return name

    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    session: Any = OpenAIAgent("test-model", tools=[greet, stdio(notes)]).open_session()
    bench = AgentBench(session, upstream)
    with closing(session):
        yield bench, session
    bench.close()


def test_readme_shows_how() -> None:
    """The page's lines mount a model with two servers in an app."""
    code = block("python", "McpServer", "docs/frameworks.md")
    app = Flask("site")
    names: dict[str, Any] = {"AgentHost": AgentHost, "app": app, "token": "secret"}
    exec(code, names)  # noqa: S102 - the page's own code
    assert [names["git"].name, names["search"].name] == ["git", "mcp.example"]
    assert app.test_client().get("/tools/healthz").status_code == 200
