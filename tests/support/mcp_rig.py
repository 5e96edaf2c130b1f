"""An engine with a session's connections to real MCP servers, for their tests."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from werkzeug.serving import make_server

from tests.agents.bench import events_of
from tests.support.processes import ROOT, Process, child_pids, free_port, started
from tests.support.turns import TurnBench
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.mcp.tools import McpConnections
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.tools import AnyTool
from wsgi_app.engine.turn.run import TurnRun

#: Reads what it is told, and says nothing.
MUTE = ("sh", ["-c", "while read line; do :; done"])
PROGRAM = str(ROOT / "tests/support/mcp_server.py")
ODD_PROGRAM = str(ROOT / "tests/support/mcp_odd_server.py")
TURN_SECONDS = 60
#: A time limit for calls that are to exceed it.
CALL_SECONDS = 1.0

Talk = Callable[[Turn, dict[str, AnyTool]], Any]


class Rig:
    """The engine and a session's connections. Used by the test's thread alone."""

    def __init__(self, servers: Sequence[McpServer], taken: Sequence[str], notes: Path) -> None:
        self.turns = TurnBench()
        self.connections = McpConnections(servers, taken)
        self.server = servers[0]
        self.notes = notes

    def noted(self) -> list[str]:
        """What the servers have written down."""
        return lines_of(self.notes)

    def wait_noted(self, line: str, count: int = 1) -> None:
        """Wait for a line of the server's."""
        wait_for(
            lambda: self.noted().count(line) >= count, f"the server notes: {line}", TURN_SECONDS
        )

    def wait_gone(self, pid: int) -> None:
        """Wait until a server's process has ended, and its connection knows.

        What is asked in the moment between them may have reached it, for all that can be known.
        """
        wait_for(lambda: not is_running(pid), "the process has ended", TURN_SECONDS)
        link = self.connections._connections[0]._link  # noqa: SLF001 - nothing else tells it
        assert link is not None
        wait_for(lambda: link.over, "the connection knows", TURN_SECONDS)

    def pids(self) -> list[int]:
        """The servers that were started."""
        return started_in(self.notes)

    def start(self, talk: Talk) -> TurnRun:
        """Start a turn that has the servers' tools."""

        def agent(turn: Turn) -> None:
            talk(turn, {tool.name: tool for tool in self.connections.tools(turn)})

        return self.turns.start(agent)

    def turn(self, talk: Talk) -> Any:
        """Run a turn to its end and give what ``talk`` gave."""
        results: list[Any] = []
        run = self.start(lambda turn, tools: results.append(talk(turn, tools)))
        assert run.wait_ended(TURN_SECONDS)
        assert results, events_of(run)
        return results[0]

    def call(self, name: str, arguments: str = "{}") -> Any:
        """Call one tool in a turn of its own; an exception is its result."""
        return self.turn(lambda turn, tools: outcome(turn, tools[name], arguments))

    def answered(self, name: str, *answers: Any, arguments: str = "{}") -> Asked:
        """Call one tool in a turn of its own, whose questions get these answers."""
        results: list[Any] = []
        run = self.start(lambda turn, tools: results.append(outcome(turn, tools[name], arguments)))
        for number, value in enumerate(answers, 1):
            asked = wait_for(lambda: asked_in(run)[number - 1 :], "a question", TURN_SECONDS)  # noqa: B023 - waited for here
            post = self.turns.store.post_input
            post(run.fence.key, asked[0]["request_id"], json.dumps(value).encode())
        assert run.wait_ended(TURN_SECONDS)
        assert results, events_of(run)
        return Asked(results[0], asked_in(run), statuses_in(run))

    def answer(self, run: TurnRun, value: bytes) -> None:
        """Answer the turn's question."""
        request_id = wait_asked(run)["request_id"]
        self.turns.store.post_input(run.fence.key, request_id, value)

    def refused(self) -> dict[str, Any]:
        """The last event of a turn that cannot have the tools."""
        run = self.start(lambda _turn, _tools: None)
        assert run.wait_ended(TURN_SECONDS)
        return events_of(run)[-1]


class Asked(NamedTuple):
    """A call's result, the questions that it asked, and the statuses that it told."""

    result: Any
    questions: list[dict[str, Any]]
    statuses: list[str]


def asked_in(run: TurnRun) -> list[dict[str, Any]]:
    """The questions of a turn so far."""
    return [event for event in events_of(run) if event["type"] == "input_request"]


def statuses_in(run: TurnRun) -> list[str]:
    """The statuses of a turn so far."""
    return [event["content"] for event in events_of(run) if event["type"] == "status"]


def lines_of(notes: Path) -> list[str]:
    """What servers have written down."""
    return notes.read_text().splitlines() if notes.exists() else []


def started_in(notes: Path) -> list[int]:
    """The ids of the servers' processes, in the order in which they started."""
    return [int(line.split()[1]) for line in lines_of(notes) if line.startswith("started")]


def is_running(pid: int) -> bool:
    """Whether a process is there."""
    return Path(f"/proc/{pid}").exists()


def wait_asked(run: TurnRun) -> dict[str, Any]:
    """The question that is all that a turn has sent."""
    (asked,) = wait_for(lambda: events_of(run), "the question", TURN_SECONDS)
    assert asked["type"] == "input_request"
    return asked


def call(turn: Turn, tool: AnyTool, arguments: str = "{}") -> Any:
    """What a call gives."""
    return tool.prepare(turn, CallRequest("call-1", tool.name, arguments)).run()


def outcome(turn: Turn, tool: AnyTool, arguments: str = "{}") -> Any:
    """What a call gives or raises."""
    try:
        return call(turn, tool, arguments)
    except (ValueError, OSError) as error:
        return error


def stdio(
    notes: Path, env: dict[str, str] | None = None, program: str = PROGRAM, **options: Any
) -> McpServer:
    """The test's server as a program."""
    path = {"PYTHONPATH": str(ROOT), "NOTES": str(notes), **(env or {})}
    return McpServer.stdio(sys.executable, [program], path, **options)


@contextmanager
def served(
    notes: Path,
    env: dict[str, str] | None = None,
    port: int | None = None,
    program: str = PROGRAM,
) -> Iterator[tuple[Process, str]]:
    """The test's server on a port."""
    port = port or free_port()
    env = {"PYTHONPATH": str(ROOT), "NOTES": str(notes), **(env or {})}
    with started([sys.executable, program, str(port)], env=env) as process:
        process.wait_until(lambda: is_open(port))
        yield process, f"http://127.0.0.1:{port}/mcp"


def is_open(port: int) -> bool:
    """Whether something listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(app: Callable[..., Any]) -> Iterator[str]:
    """A WSGI application as a server, in threads of this process; gives its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mcp"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextmanager
def rigged(notes: Path, *servers: McpServer, taken: Sequence[str] = ()) -> Iterator[Rig]:
    """A session's connections; closed, with nothing left, at the end."""
    children = child_pids(os.getpid())
    rig = Rig(servers, taken, notes)
    loop = rig.turns.runner.loops.agents  # which other rigs share
    tasks = loop.count_tasks()
    try:
        yield rig
    finally:
        rig.connections.close()
        # One that was just being started is killed, and gone a moment later.
        wait_for(lambda: child_pids(os.getpid()) == children, "no program is left")
        wait_for(lambda: loop.count_tasks() <= tasks, "no task is left")
        rig.turns.runner.close(10)
