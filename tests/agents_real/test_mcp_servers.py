"""Public MCP servers, each in turns of the host's engine."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.bench import AgentBench
from tests.agents_real.mcp_servers import (
    browser_command,
    browser_server,
    fast_server,
    node_command,
    node_server,
    old_server,
    python_server,
)
from tests.agents_real.pages import pages
from tests.support.mcp_rig import TURN_SECONDS, call, is_open, outcome, rigged, statuses_in
from tests.support.processes import free_port, started
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent, Turn
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.tools import AnyTool

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

OLD_SERVER = Path(__file__).parent / "old_sdk_server.py"
FAST_SERVER = Path(__file__).parent / "fastmcp_server.py"
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256)) * 400


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where a server writes what happens to it."""
    return tmp_path / "notes"


@pytest.fixture
def site() -> Iterator[str]:
    """A site of two pages."""
    with pages() as url:
        yield url


def test_filesystem_names_media_and_reads_text(notes: Path, tmp_path: Path) -> None:
    """A picture is its type and size, also in the data that stand beside it."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "a.txt").write_text("hello")
    with rigged(notes, node_server("filesystem", [str(tmp_path)])) as rig:
        media = rig.call("read_media_file", json.dumps({"path": str(tmp_path / "a.png")}))
        text = rig.call("read_text_file", json.dumps({"path": str(tmp_path / "a.txt")}))
    size = {"mimeType": "image/png", "size_bytes": len(PNG)}
    assert media == {"content": [{"type": "image", **size}]}
    assert text == {"content": "hello"}


def test_memory_keeps_all_that_one_step_creates(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four calls of one step, which the server would write over each other, run in order."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "memory.json"
    server = node_server("memory", env={"MEMORY_FILE_PATH": str(path)})
    session: Any = OpenAIAgent("test-model", tools=[server]).open_session()
    bench = AgentBench(session, upstream)
    entities = [
        {"entities": [{"name": name, "entityType": "person", "observations": ["here"]}]}
        for name in ("Ada", "Bob", "Cyd", "Dan")
    ]
    step = ToolCalls(
        tuple(Call(f"c{at}", "create_entities", json.dumps(e)) for at, e in enumerate(entities))
    )
    bench.talk((step,), (Text(("Done.",)),))
    session.close()
    bench.close()
    kept = [json.loads(line)["name"] for line in path.read_text().splitlines()]
    assert kept == ["Ada", "Bob", "Cyd", "Dan"]


def test_memory_asks_before_it_deletes(notes: Path, tmp_path: Path) -> None:
    """The server's own declarations say which calls wait for a yes."""
    env = {"MEMORY_FILE_PATH": str(tmp_path / "memory.json")}
    with rigged(notes, node_server("memory", env=env, approve="destructive")) as rig:
        refused = rig.answered("delete_entities", False, arguments='{"entityNames": ["Ada"]}')  # noqa: FBT003 - the user's answer
        read = rig.answered("read_graph")
    assert str(refused.result) == "the user did not allow this call"
    assert read.questions == []
    assert read.result == {"entities": [], "relations": []}


def test_thoughts_count_to_ten(notes: Path) -> None:
    """What a server keeps for a session is there in each of its turns."""
    with rigged(notes, node_server("thinking")) as rig:
        counts = []
        for number in range(1, 11):
            thought = {"thought": "x", "nextThoughtNeeded": True, "totalThoughts": 10}
            told = rig.call("sequentialthinking", json.dumps({**thought, "thoughtNumber": number}))
            counts.append(told["thoughtHistoryLength"])
    assert counts == list(range(1, 11))


def test_everything_runs_a_task_and_cancels_it(notes: Path) -> None:
    """A tool that runs as a task alone is polled, told of, asked for, and cancelled."""
    with rigged(notes, node_server("everything")) as rig:
        done = rig.answered("simulate-research-query", arguments='{"topic": "tea"}')
        assert "Research Report: tea" in done.result
        assert done.statuses[0] == "simulate-research-query: Gathering sources..."
        assert len(done.statuses) >= 3
        unclear = '{"topic": "tea", "ambiguous": true}'
        asked = rig.answered("simulate-research-query", "technical", arguments=unclear)
        assert "Research Report: tea (technical)" in asked.result

        def talk(turn: Turn, tools: dict[str, AnyTool]) -> None:
            call(turn, tools["simulate-research-query"], '{"topic": "tea"}')

        run = rig.start(talk)
        wait_for(lambda: statuses_in(run), "the task runs", TURN_SECONDS)
        asked_at = time.monotonic()
        rig.turns.runner.cancel(run.fence.key, None, "user")
        assert run.wait_ended(TURN_SECONDS)
        assert time.monotonic() - asked_at < 0.5
        assert rig.call("get-sum", '{"a": 1, "b": 2}') == "The sum of 1 and 2 is 3."


def test_everything_reports_its_progress_and_asks(notes: Path) -> None:
    """Progress is a status, a form is a question whose answer is checked, pictures are named."""
    with rigged(notes, node_server("everything")) as rig:
        arguments = '{"duration": 2, "steps": 2}'
        done = rig.answered("trigger-long-running-operation", arguments=arguments)
        assert done.statuses[0].startswith("trigger-long-running-operation: ")
        tiny = json.dumps(rig.call("get-tiny-image"))
        assert '"mimeType": "image/png"' in tiny
        assert "iVBOR" not in tiny
        data = rig.call("get-structured-content", '{"location": "Chicago"}')
        assert set(data) == {"temperature", "conditions", "humidity"}


def test_everything_over_http_is_found_again(notes: Path) -> None:
    """A restart between two steps, which this SDK answers with 400, costs a status."""
    port = free_port()
    command = node_command("everything", ["streamableHttp"])
    env = {"PORT": str(port)}
    server = McpServer.http(f"http://127.0.0.1:{port}/mcp", name="it")
    with rigged(notes, server) as rig:

        def talk(turn: Turn, tools: dict[str, AnyTool]) -> list[Any]:
            first.__exit__(None, None, None)
            with started(command, env=env) as process:
                process.wait_until(lambda: is_open(port), 60)
                return [outcome(turn, tools["get-sum"], '{"a": 1, "b": 2}') for _ in range(2)]

        first = started(command, env=env)
        process = first.__enter__()
        process.wait_until(lambda: is_open(port), 60)
        results: list[Any] = []
        run = rig.start(lambda turn, tools: results.extend(talk(turn, tools)))
        assert run.wait_ended(TURN_SECONDS)
        assert results == ["The sum of 1 and 2 is 3."] * 2
        assert statuses_in(run) == ["it: began again; what it held for this session is lost."]


def test_a_browser_keeps_its_page(notes: Path, site: str) -> None:
    """Ten turns of one session see the page that the first has opened; a picture is named."""
    with rigged(notes, browser_server()) as rig:
        rig.call("browser_navigate", json.dumps({"url": f"{site}/one.html"}))
        seen = [rig.call("browser_snapshot") for _ in range(10)]
        shot = json.dumps(rig.call("browser_take_screenshot"))
    assert all("one.html" in str(page) for page in seen), seen
    assert "iVBOR" not in shot


def test_a_browser_over_http_says_why_it_refuses(
    notes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that serves another name alone: its 403 is the user's, its reason the log's."""
    port = free_port()
    with started([*browser_command(), "--port", str(port)]) as process:
        process.wait_until(lambda: is_open(port), 60)
        with rigged(notes, McpServer.http(f"http://127.0.0.1:{port}/mcp", name="it")) as rig:
            refused = rig.refused()
    assert refused["message"] == "The MCP server 'it' cannot be used: HTTP 403 Forbidden."
    assert "Access is only allowed at localhost" in caplog.text


def test_servers_of_pypi_do_what_they_are_for(notes: Path, tmp_path: Path, site: str) -> None:
    """Time, git, fetch and sqlite: a call each, and a step of two that follow each other."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "First"]):
        author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *author, *command], cwd=folder, check=True)
    servers = [
        python_server("time"),
        python_server("git", tools=["git_log"]),
        python_server("fetch", ["--ignore-robots-txt", "--allow-private-ips"]),
        python_server("sqlite", ["--db-path", str(tmp_path / "a.db")]),
    ]
    zones = {"source_timezone": "UTC", "target_timezone": "Asia/Tokyo", "time": "12:00"}
    with rigged(notes, *servers) as rig:
        assert "21:00" in str(rig.call("convert_time", json.dumps(zones)))
        assert "First" in str(rig.call("git_log", json.dumps({"repo_path": str(folder)})))
        assert "page two" in str(rig.call("fetch", json.dumps({"url": f"{site}/two.html"})))
        rig.call("create_table", '{"query": "CREATE TABLE t (a INTEGER)"}')
        rig.call("write_query", '{"query": "INSERT INTO t VALUES (42)"}')
        assert "42" in str(rig.call("read_query", '{"query": "SELECT a FROM t"}'))


def test_the_older_sdk_is_served_as_it_is(notes: Path) -> None:
    """Its data, questions and progress, and arrays that say what is in them."""
    server = old_server(OLD_SERVER, {"NOTES": str(notes)})
    with rigged(notes, server) as rig:
        assert rig.call("add", '{"a": 1, "b": 2}') == 3
        assert rig.call("pair") == [1, "a"]
        assert rig.answered("pick_colour", "blue").result == "blue"
        assert rig.answered("count_up").statuses == ["count_up: reading (1 of 3)"]


def test_a_blocked_server_of_the_older_sdk_is_replaced(notes: Path) -> None:
    """After the cancel of a sync tool the session's next turn takes seconds, not 30."""
    server = old_server(OLD_SERVER, {"NOTES": str(notes)})
    with rigged(notes, server) as rig:
        run = rig.start(lambda turn, tools: call(turn, tools["block"], '{"seconds": 600}'))
        rig.wait_noted("blocking")
        rig.turns.runner.cancel(run.fence.key, None, "user")
        begun_at = time.monotonic()
        assert rig.call("add", '{"a": 1, "b": 2}') == 3
        assert time.monotonic() - begun_at < 15


def test_the_older_sdk_fills_the_log_once(notes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its page about the question for the newest protocol stands there for one connection."""
    server = old_server(OLD_SERVER, {"NOTES": str(notes)})
    for _ in range(3):
        with rigged(notes, server) as rig:
            assert rig.call("add", '{"a": 1, "b": 2}') == 3
    assert capfd.readouterr().err.count("Failed to validate request") == 1


def test_fastmcp_asks_where_the_older_protocol_is_set(notes: Path) -> None:
    """Its ctx.elicit() reaches such connections alone; arrays say what is in them."""
    with rigged(notes, fast_server(FAST_SERVER)) as rig:
        schema = rig.turn(lambda _, tools: tools["place"].parameters)["properties"]["at"]
        assert schema["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
        assert rig.call("add", '{"a": 1, "b": 2}') == 3
        assert isinstance(rig.call("pick_colour"), ValueError)
    with rigged(notes, fast_server(FAST_SERVER, protocol="legacy")) as rig:
        assert rig.answered("pick_colour", "blue").result == "blue"


def test_a_large_result_holds_nobody(notes: Path) -> None:
    """30 MB are an error within seconds; the loop serves others meanwhile, in bounded memory."""
    server = old_server(OLD_SERVER, {"NOTES": str(notes)})
    with rigged(notes, server) as rig:
        rig.call("add", '{"a": 1, "b": 2}')
        before = resident_bytes()
        begun_at = time.monotonic()
        error = rig.call("text", '{"size": 30000000}')
        seconds = time.monotonic() - begun_at
        grown = resident_bytes() - before
        assert "more than the 8388608 bytes that are read" in str(error)
        assert seconds < 10
        assert grown < 64_000_000, grown


def resident_bytes() -> int:
    """The peak of this process's memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no peak")
