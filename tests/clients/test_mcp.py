"""MCP clients of others, each as it is, with the agent as their server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.sse_cuts import frame_cutter
from tests.support.client import new_session
from tests.support.node import CLIENTS, run_node
from tests.support.processes import clean_environment
from tests.support.reading import observed, wait_observed
from tests.support.servers import Gunicorn, gunicorn, redis_server
from wsgi_app.auth import DEVELOPMENT_TOKEN

LONG: Final = "".join(f"w{number} " for number in range(1, 301))
#: The text in whose frame a connection is cut.
CUT: Final = '"w50 "'
#: And the next one's. Not Python's: its SDK would go on behind the first cut again.
NEXT_CUT: Final = "w299 w300 "
#: The clients: those of Python by how they begin, those of JavaScript by their packages.
JAVASCRIPT: Final = ("@modelcontextprotocol/sdk", "@modelcontextprotocol/client")
Came = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a store."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=acme"}
        with gunicorn("tests.support.apps:told_app()", workers=2, threads=16, env=env) as server:
            yield server


def run_python(python: Path | str, **given: Any) -> Came:
    """Run the script of Python's SDK to its end."""
    done = subprocess.run(
        [str(python), str(CLIENTS / "mcp_calls.py"), json.dumps(given)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return came_of([json.loads(line) for line in done.stdout.splitlines()])


def came_of(rows: list[dict[str, Any]]) -> Came:
    """What each scenario came to."""
    return {row["scenario"]: row["came"] for row in rows}


def check(came: Mapping[str, Any]) -> None:
    """Fail unless each call came to what the agent did."""
    assert came["tools"] == ["ask"]
    assert came["text"]["progress"] == ["busy", "w1 ", "w2 ", "w3 ", "."]
    assert (came["text"]["text"], came["text"]["status"]) == ("w1 w2 w3 .", "done")
    assert [one["role"] for one in json.loads(came["again"]["reply"])] == ["user", "assistant"]
    assert (came["failed"]["isError"], came["failed"]["text"]) == (True, "The shop is closed.")
    assert came["asked"]["reply"] == "Well. blue."
    assert came["long"]["reply"] == LONG
    assert "".join(came["long"]["progress"]) == LONG
    assert came["stopped"] in ("cancelled", "given up")
    assert came["askedInText"]["question"]["prompt"] == "Which?"
    assert came["answeredInText"]["reply"] == "Well. blue"


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.slow)])
def test_python_s_sdk_of_version_2(server: Gunicorn, mode: str) -> None:
    """With a handshake and without: streams that are cut go on, and what is given up ends."""
    session = new_session()
    with frame_cutter(server.port, CUT) as proxy:
        given = {"url": f"{proxy.url}/agents/mcp", "token": DEVELOPMENT_TOKEN, "session": session}
        check(run_python(sys.executable, mode=mode, **given))
        assert proxy.left == []
    check_stopped(server, session)


@pytest.mark.parametrize(
    "library", [JAVASCRIPT[1], pytest.param(JAVASCRIPT[0], marks=pytest.mark.slow)]
)
def test_typescript_s_sdk(server: Gunicorn, library: str) -> None:
    """The same by the packages of JavaScript."""
    session = new_session()
    with frame_cutter(server.port, CUT, NEXT_CUT) as proxy:
        url = f"{proxy.url}/agents/mcp"
        about = {"url": url, "token": DEVELOPMENT_TOKEN, "session": session}
        check(came_of(run_node("mcp.mjs", 60, library=library, **about)))
        assert proxy.left == []
    check_stopped(server, session)


def check_stopped(server: Gunicorn, session: str) -> None:
    """Fail unless the call that was given up has been cancelled, and that by its own turn."""
    wait_observed(server, "cancelled", session, 15)
    assert len(observed(server, "started", session)) == 1
