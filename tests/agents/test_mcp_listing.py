"""Which tools of MCP servers an agent gets, and under which names."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.mcp_rig import ODD_PROGRAM, rigged, stdio
from tests.support.processes import ROOT
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.mcp.tools import names_of


@pytest.mark.parametrize("option", ["tools", pytest.param("approve", marks=pytest.mark.slow)])
def test_a_name_that_no_tool_has_ends_the_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    """A misspelt tool is no tool less, silently, and no call less that asks."""
    notes = tmp_path / "notes"
    caplog.set_level(logging.ERROR)
    options: dict[str, Any] = {option: ["add", "ad", "greeet"]}
    with rigged(notes, stdio(notes, name="it", **options)) as rig:
        assert rig.refused() == {
            "type": "error",
            "code": "agent_error",
            "message": "The MCP server 'it' has no tool 'ad', 'greeet'.",
            "details": {"server": "it", "missing_tools": ["ad", "greeet"]},
            "retryable": False,
        }
    assert "It has: add, " in caplog.text


def test_servers_on_one_host_have_names_of_their_own() -> None:
    """Where no name is given, the port or the path tells two servers of a host apart."""
    urls = ["https://mcp.example/a/mcp", "https://mcp.example:8443/b/?key=secret"]
    unnamed = [McpServer.http(url) for url in urls]
    assert names_of(unnamed[:1]) == ["mcp.example"]
    assert names_of(unnamed) == ["mcp.example/a/mcp", "mcp.example:8443/b"]
    named = [McpServer.http(url, name="it") for url in urls]
    assert names_of([*named, unnamed[0]]) == ["it", "it", "mcp.example"]


@pytest.mark.slow
def test_a_server_of_the_older_protocol_is_asked_for_the_newer_one_once(tmp_path: Path) -> None:
    """Of all connections of a worker the first asks; others know, and the log is spared."""
    notes = tmp_path / "notes"
    server = stdio(notes, {"LEGACY": "1"}, program=ODD_PROGRAM)
    for _ in range(2):
        with rigged(notes, server) as rig:
            rig.turn(lambda _, tools: tools)
    assert rig.noted().count("server/discover") == 1


def test_a_server_that_leaves_questions_unanswered_need_not_be_asked(tmp_path: Path) -> None:
    """``protocol="legacy"`` spares the wait of 10 s for what such a server does not know."""
    notes = tmp_path / "notes"
    program = str(ROOT / "tests/support/mcp_task_server.py")
    with rigged(notes, stdio(notes, {"SILENT": "1"}, program=program, protocol="legacy")) as rig:
        begun_at = time.monotonic()
        assert rig.call("plain") == "plain"
        assert time.monotonic() - begun_at < 8


def test_a_server_that_writes_no_message_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines on standard output that are no messages cost one line of the log, no traceback."""
    caplog.set_level(logging.INFO)
    script = (
        "import sys; [print('hello') for _ in range(100)]; sys.stdout.flush(); sys.stdin.read()"
    )
    server = McpServer.stdio(sys.executable, ["-c", script], name="it", connect_timeout_seconds=1)
    with rigged(tmp_path / "notes", server) as rig:
        rig.refused()
    told = [record for record in caplog.records if "what is no message" in record.getMessage()]
    assert len(told) == 1
    assert "Traceback" not in caplog.text
