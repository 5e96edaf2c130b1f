"""Connections to MCP servers that are lost, refused, or answer no more."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response

from tests.support.mcp_rig import (
    TURN_SECONDS,
    call,
    outcome,
    rigged,
    served,
    serving,
    statuses_in,
    stdio,
)
from tests.support.processes import free_port
from wsgi_app import Turn
from wsgi_app.agents.mcp import McpServer, connection
from wsgi_app.agents.tools import AnyTool

ADD = '{"a": 1, "b": 1}'
BEGAN_AGAIN = "began again; what it held for this session is lost"


@pytest.mark.parametrize(
    "env", [{"LEGACY": "1"}, pytest.param({}, marks=pytest.mark.slow)], ids=["old", "new"]
)
def test_a_server_restarted_between_two_steps_is_found_again(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """The next call of the same turn begins a new session, since the lost one has not run it."""
    notes, port = tmp_path / "notes", free_port()
    results: list[Any] = []
    with rigged(notes, McpServer.http(f"http://127.0.0.1:{port}/mcp", name="it")) as rig:

        def talk(turn: Turn, tools: dict[str, AnyTool]) -> None:
            results.append(call(turn, tools["add"], ADD))
            first.close()
            with served(notes, env, port):
                results.append(call(turn, tools["add"], ADD))
                results.append(call(turn, tools["add"], ADD))

        first = Served(notes, env, port)
        run = rig.start(talk)
        assert run.wait_ended(TURN_SECONDS)
        assert results == [2, 2, 2], run
        assert statuses_in(run) == ([f"it: {BEGAN_AGAIN}."] if env else [])


class Served:
    """A server that is ended in the middle of a test."""

    def __init__(self, notes: Path, env: dict[str, str], port: int) -> None:
        self._served = served(notes, env, port)
        self._served.__enter__()

    def close(self) -> None:
        """End it."""
        self._served.__exit__(None, None, None)


@pytest.mark.slow
def test_a_program_that_ended_between_two_steps_is_started_again(tmp_path: Path) -> None:
    """The call that finds its program gone has not run: it runs in a new one, and is told of."""
    notes = tmp_path / "notes"
    with rigged(notes, stdio(notes, name="it")) as rig:

        def talk(turn: Turn, tools: dict[str, AnyTool]) -> Any:
            call(turn, tools["add"], ADD)
            os.kill(rig.pids()[-1], 9)
            rig.wait_gone(rig.pids()[-1])
            return call(turn, tools["add"], ADD), call(turn, tools["add"], ADD)

        results: list[Any] = []
        run = rig.start(lambda turn, tools: results.append(talk(turn, tools)))
        assert run.wait_ended(TURN_SECONDS)
        assert results == [(2, 2)]
        assert statuses_in(run) == [f"it: {BEGAN_AGAIN}."]


def test_a_call_that_may_have_run_is_not_repeated(tmp_path: Path) -> None:
    """A server that ends in the middle of a call: the model is told that it may have run."""
    notes = tmp_path / "notes"
    with rigged(notes, stdio(notes, name="it")) as rig:
        error = rig.call("die")
        assert isinstance(error, ConnectionError)
        assert "may have been carried out" in str(error)
        assert len(rig.pids()) == 1


@pytest.mark.slow
def test_a_server_that_is_busy_for_ever_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn after the cancel of a call that blocks its server does not wait for that server."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    notes = tmp_path / "notes"
    with rigged(notes, stdio(notes, {"LEGACY": "1"}, name="it")) as rig:
        run = rig.start(lambda turn, tools: call(turn, tools["block"], '{"seconds": 600}'))
        rig.wait_noted("blocking")
        rig.turns.runner.cancel(run.fence.key, None, "user")
        begun_at = time.monotonic()
        asked = rig.answered("add", arguments=ADD)
        assert asked.result == 2
        assert asked.statuses == [f"it: {BEGAN_AGAIN}."]
        assert time.monotonic() - begun_at < 20
        assert len(rig.pids()) == 2


@pytest.mark.slow
def test_a_server_that_has_answered_no_call_is_asked_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a turn too, a call after one that took too long goes to a server that answers."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    notes = tmp_path / "notes"
    server = stdio(notes, {"LEGACY": "1"}, name="it", call_timeout_seconds=3)
    with rigged(notes, server) as rig:

        def talk(turn: Turn, tools: dict[str, AnyTool]) -> Any:
            error = outcome(turn, tools["block"], '{"seconds": 600}')
            return error, call(turn, tools["add"], ADD)

        error, result = rig.turn(talk)
        assert isinstance(error, TimeoutError)
        assert result == 2


@pytest.mark.parametrize(
    ("status", "text", "phrase"),
    [
        (401, "token expired: s3cret", "HTTP 401 Unauthorized"),
        (403, "Access is only allowed at localhost:8080", "HTTP 403 Forbidden"),
        (503, "", "HTTP 503 Service Unavailable"),
    ],
)
def test_a_servers_refusal_is_reported_with_its_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, text: str, phrase: str
) -> None:
    """The user gets the status, the log what the server said as well."""

    @Request.application
    def refuse(_request: Request) -> Response:
        return Response(text, status)

    caplog.set_level(logging.WARNING)
    with serving(refuse) as url, rigged(tmp_path / "notes", McpServer.http(url, name="it")) as rig:
        refused = rig.refused()
    assert refused == {
        "type": "error",
        "code": "agent_error",
        "message": f"The MCP server 'it' cannot be used: {phrase}.",
        "details": {"server": "it", "http_status": status},
        "retryable": status >= 500,
    }
    assert phrase in caplog.text
    assert text in caplog.text


def answering(answer_call: Callable[[Any], Response]) -> Callable[..., Any]:
    """A server of one tool, by hand; what it says to a call is the test's."""

    @Request.application
    def server(request: Request) -> Response:
        message = request.get_json(silent=True) or {}
        if message.get("method") == "tools/call":
            return answer_call(message)
        answers: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "it", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "add", "inputSchema": {"type": "object"}}]},
        }
        result = answers.get(message.get("method", ""))
        if result is None:
            return Response(status=400 if "id" in message else 202)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return Response(json.dumps(answer), content_type="application/json")

    return server


def test_a_call_that_is_refused_reports_its_status(tmp_path: Path) -> None:
    """A token that expires in the middle of a session: the model and the user get the status."""
    server = answering(lambda _message: Response(status=401))
    with serving(server) as url, rigged(tmp_path / "notes", McpServer.http(url, name="it")) as rig:
        error = rig.call("add", ADD)
    assert str(error) == "the MCP server 'it' refused: HTTP 401 Unauthorized"


def test_an_event_of_many_lines_is_bounded_too(tmp_path: Path) -> None:
    """Lines that are short, without an end of their event, are not kept for ever."""
    sent: list[int] = []

    def endless(_message: Any) -> Response:
        def lines() -> Iterator[bytes]:
            for number in range(100_000):
                sent.append(number)
                yield b"data: " + b"x" * 1_000 + b"\n"

        return Response(lines(), content_type="text/event-stream")

    with serving(answering(endless)) as url:
        server = McpServer.http(url, name="it", max_result_bytes=100_000)
        with rigged(tmp_path / "notes", server) as rig:
            error = rig.call("add", ADD)
    assert isinstance(error, ConnectionError)
    assert "may have been carried out" in str(error)
    assert len(sent) < 50_000
