"""The SDKs of A2A, each as it is, with the host as their agent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.sse_cuts import frame_cutter
from tests.clients.test_mcp import CUT, LONG, came_of
from tests.sites.environments import environment
from tests.support.client import new_session
from tests.support.node import node_program
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import Gunicorn, gunicorn, redis_server
from wsgi_app.auth import DEVELOPMENT_TOKEN

PYTHON: Final = "1.3.0"
HERE: Final = Path(__file__).parent
FOLDER: Final = ROOT / ".a2a-suite"
BINDINGS: Final = ("JSONRPC", "HTTP+JSON")
#: The next cut: the task that comes behind the first one holds all that was said before.
NEXT_CUT: Final = "w299 "

pytestmark = [pytest.mark.a2a, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a store."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=acme"}
        with gunicorn("tests.support.apps:told_app()", workers=2, threads=16, env=env) as server:
            yield server


def run(program: Path, script: str, **given: Any) -> dict[str, Any]:
    """Run a client's script to its end."""
    done = subprocess.run(
        [str(program), str(HERE / script), json.dumps(given)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return came_of([json.loads(line) for line in done.stdout.splitlines()])


def check(came: Mapping[str, Any]) -> None:
    """Fail unless each task came to what the agent did."""
    assert came["text"]["text"] == "w1 w2 w3 "
    assert came["text"]["states"] == ["SUBMITTED", "WORKING", "COMPLETED"]
    assert (came["failed"]["states"][-1], came["failed"]["asked"]) == (
        *("FAILED", "The shop is closed."),
    )
    assert (came["asked"]["states"][-1], came["asked"]["asked"]) == ("INPUT_REQUIRED", "Which?")
    assert came["answered"]["text"] == "Well. blue."
    assert came["answered"]["states"] == ["WORKING", "COMPLETED"]
    assert came["long"]["text"] == LONG
    assert came["long"]["states"][-1] == "COMPLETED"
    assert came["stopped"] == ["CANCELED"]
    assert came["task"] == "TASK_STATE_COMPLETED"
    assert came["listed"] == 3


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_an_sdk_does_all_that_there_is(server: Gunicorn, language: str, binding: str) -> None:
    """It reads the card, streams, subscribes again after cuts, answers, stops, lists."""
    session = new_session()
    given = {"token": DEVELOPMENT_TOKEN, "binding": binding, "session": session}
    with frame_cutter(server.port, CUT, NEXT_CUT) as proxy:
        url = f"{proxy.url}/agents"
        if language == "python":
            made = environment(f"a2a-{PYTHON}", f"a2a-sdk=={PYTHON}\n", with_host=False)
            came = run(made / "bin" / "python", "calls.py", url=url, **given)
        else:
            came = run(node_program(), "calls.mjs", url=f"{url}/", folder=str(FOLDER), **given)
        assert proxy.left == []
    check(came)
