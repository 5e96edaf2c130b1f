"""How connections to MCP servers, and their programs, come to their end."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, Client
from tests.support.mcp_rig import (
    TURN_SECONDS,
    call,
    is_running,
    outcome,
    rigged,
    served,
    started_in,
    stdio,
)
from tests.support.processes import child_pids
from tests.support.servers import gunicorn
from tests.support.turns import TurnBench
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.mcp.tools import McpConnections


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where a server writes what happens to it."""
    return tmp_path / "notes"


def test_close_ends_a_running_call_and_its_program(notes: Path) -> None:
    """Closing while a call runs, from another thread, fails the call; nothing connects again."""
    results: list[Any] = []
    with rigged(notes, stdio(notes)) as rig:
        run = rig.start(
            lambda turn, tools: results.append(outcome(turn, tools["nap"], '{"seconds": 60}'))
        )
        rig.wait_noted("napping")
        rig.connections.close()
        assert not [pid for pid in rig.pids() if is_running(pid)]
        assert run.wait_ended(TURN_SECONDS)
        assert isinstance(results[0], ConnectionError)
        assert rig.refused()["message"] == "The MCP server 'python' cannot be used."
        assert len(rig.pids()) == 1


@pytest.mark.slow
def test_a_worker_ends_the_programs_of_its_sessions(notes: Path) -> None:
    """Each session has a program of its own, which DELETE ends; SIGTERM ends the others."""
    add = (ToolCalls((Call("c1", "add", '{"a": 2, "b": 3}'),)),)
    message = scripted_message(add, (Text(("Five.",)),))
    app = "tests.support.mcp_app:mcp_app()"
    with Upstream() as upstream:
        env = {**upstream.environment, "NOTES": str(notes)}
        with gunicorn(app, env=env) as server:
            client = Client(server)
            for session in ("one", "one", "two"):
                body = {"message": message}
                answer = client.call(
                    "POST", f"/chat/{session}", body, headers=WANTS_JSON, seconds=TURN_SECONDS
                )
                assert answer.json["reply"] == "Five."
            first, second = started_in(notes)
            client.call("DELETE", "/session/one")
            wait_for(lambda: not is_running(first), "the first program's end", TURN_SECONDS)
            assert is_running(second)
        wait_for(lambda: not is_running(second), "the second program's end", TURN_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"DEAF": "1"}, {}], ids=["deaf", "blocked"])
def test_a_program_that_does_not_end_is_killed(notes: Path, env: dict[str, str]) -> None:
    """A server that ignores its end, or never reads again, is gone when close returns."""
    with rigged(notes, stdio(notes, env)) as rig:
        run = rig.start(lambda turn, tools: call(turn, tools["block"], '{"seconds": 600}'))
        rig.wait_noted("blocking")
        rig.turns.runner.cancel(run.fence.key, None, "user")
        rig.connections.close()
        assert not [pid for pid in rig.pids() if is_running(pid)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_sessions_leave_nothing(notes: Path) -> None:
    """No process, thread, task or file is left of 50 sessions with two servers each."""
    turns = TurnBench()

    def left() -> tuple[int, int, int]:
        tasks = turns.runner.loops.agents.count_tasks()
        return threading.active_count(), tasks, len(list(Path("/proc/self/fd").iterdir()))

    def session(number: int, url: str) -> None:
        connections = McpConnections([stdio(notes), McpServer.http(url)])

        def agent(turn: Turn) -> None:
            tools = {tool.name: tool for tool in connections.tools(turn)}
            assert call(turn, tools["python_add"], '{"a": 1, "b": 1}') == 2
            if number % 2:
                call(turn, tools["127_0_0_1_nap"], '{"seconds": 60}')

        run = turns.start(agent)
        if number % 2:
            wait_for(lambda: notes.read_text().count("napping") > number // 2, "a nap", 60)
            turns.runner.cancel(run.fence.key, None, "user")
        assert run.wait_ended(TURN_SECONDS)
        connections.close()

    with served(notes) as (_, url):
        children = child_pids(os.getpid())
        for number in range(10):
            session(number, url)
        before = left()
        for number in range(10, 60):
            session(number, url)
        wait_for(lambda: left() <= before, f"no more than before: {before}")
        assert child_pids(os.getpid()) == children
    turns.runner.close(10)
