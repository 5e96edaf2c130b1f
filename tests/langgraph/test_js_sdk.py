"""@langchain/langgraph-sdk for JavaScript, and connections that break under both SDKs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from langgraph_sdk import get_sync_client

from tests.cli.cutting import cutting_proxy
from tests.support.node import install_packages, node_program
from tests.support.processes import clean_environment
from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN

pytestmark = pytest.mark.timeout(180)

HERE: Final = Path(__file__).parent / "page"
#: After so many bytes the first connections break.
CUTS: Final = (700, 2500, 4000)
WORDS: Final = "".join(f"w{number} " for number in range(1, 41))


@pytest.fixture(scope="module")
def told(host: Gunicorn) -> dict[str, Any]:
    """What the script got."""
    install_packages(HERE)
    with cutting_proxy(host.port, *CUTS) as proxy:
        cutting = f"{proxy.url}/agents/langgraph"
        about = json.dumps({"url": f"{host.url}/agents/langgraph", "cutting": cutting})
        done = subprocess.run(
            [str(node_program()), str(HERE / "sdk.mjs"), about],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_thread_is_streamed(told: dict[str, Any]) -> None:
    """Messages, calls and the state, by ``client.threads.stream``."""
    assert told["stream"] == {
        "texts": ["So. ", "w1 w2 w3 w4 w5 "],
        "calls": [["add", {"a": 1}, {"sum": 2}]],
        "kinds": ["human", "ai", "tool", "ai"],
    }


def test_an_interrupt_is_answered(told: dict[str, Any]) -> None:
    """Its payload is the question, and its answer goes to the agent."""
    assert told["interrupt"] == [{"prompt": "The color?"}, "red!"]


def test_a_sub_agent_is_a_subgraph(told: dict[str, Any]) -> None:
    """It is found by its call, with messages, calls and a state of its own."""
    assert told["subgraph"] == ["tools", "finder", ["I look. ", "Found."], ["add"], 3]


def test_a_headless_tool_is_run_by_its_page(told: dict[str, Any]) -> None:
    """The SDK's own functions read the call from the interrupt, and answer it by its id.

    Its ``thread.values`` are those behind the answer: it does not end at such an interrupt.
    """
    assert told["headless"] == ["wall 2 is blue!", False, "wall 2 is blue!"]


def test_threads_are_there_without_runs(told: dict[str, Any]) -> None:
    """Made, found, changed, copied and deleted; the one assistant cannot be."""
    assert told["threads"] == {
        "found": True,
        "metadata": [{"by": "js"}, *2 * [{"by": "js", "title": "A"}]],
        "copies": 1,
        "gone": 404,
        "refused": 405,
        "assistants": 1,
    }


def test_a_run_goes_on_over_broken_connections(told: dict[str, Any]) -> None:
    """The SDK comes back by ``Location``; no word is lost or doubled."""
    assert told["runs"] == {"text": WORDS, "ended": "success"}


def test_the_python_sdk_goes_on_over_broken_connections(host: Gunicorn) -> None:
    """As the one for JavaScript, by the older routes."""
    with cutting_proxy(host.port, *CUTS) as proxy:
        url = f"{proxy.url}/agents/langgraph"
        with get_sync_client(url=url, api_key=DEVELOPMENT_TOKEN) as client:
            asked: Any = {
                "input": {"messages": [{"role": "user", "content": "hello"}]},
                "metadata": {"steps": [{"tokens": 40, "pause": 0.02}]},
                "stream_mode": ["messages-tuple"],
                "on_disconnect": "continue",
            }
            parts: list[Any] = list(client.runs.stream("cut-by-the-way", "agent", **asked))
            said = [part.data[0]["content"] for part in parts if part.event == "messages"]
    assert "".join(said) == WORDS
