"""Turns with tools of MCP servers outlive their workers, and the programs that these had."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.agents.outliving import follower_of
from tests.support.resumed import Rig, kill_owner, resuming
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

APP = "tests.support.resumed_frameworks_app:mcp_app()"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One host of two workers, whose lease no test waits for."""
    folder = tmp_path_factory.mktemp("resumed")
    with resuming(folder, app=APP, env={"AGENT_LEASE_SECONDS": "60"}) as running:
        yield running


@pytest.mark.parametrize("tool", ["charge", "look_up"])
def test_a_turn_with_servers_goes_on(rig: Rig, tool: str) -> None:
    """A finished call stays; one in flight runs again if it only reads, else it is told."""
    follower = follower_of(rig, "agents")
    session = follower.session

    def one(number: int, name: str, how: str = "") -> ToolCalls:
        arguments = json.dumps({"session": session, "name": name, "how": how})
        return ToolCalls((Call(f"call-{number}", tool, arguments),))

    text = scripted_message(
        [one(1, "first")], [one(2, "second", "wait 40")], [Text(("Done.",))], tag=session
    )
    follower.start(text)
    wait_for(lambda: rig.names(session) == ["first", "second"], "the second call runs", 60)
    kill_owner(rig, follower)
    assert follower.end().data["reply"] == "Done."
    again = ["second"] if tool == "look_up" else []
    assert rig.names(session) == ["first", "second", *again]
    told = [f.data for f in follower.counted() if f.data["type"] == "tool_result"]
    assert [result["status"] for result in told] == ["complete", "complete" if again else "error"]
    statuses = [f.data["content"] for f in follower.frames if f.data["type"] == "status"]
    assert any("started again" in status for status in statuses)
