"""The public suite of Open Responses, as it is; `make test-open-responses` fetches it.

The host's agent is a model, which calls the request's tool if it has one; the agents that call
none, the demo agent and a plain generator, pass all other cases.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

import pytest

from tests.support.processes import ROOT
from tests.support.servers import Server, gunicorn, redis_server
from tests.support.upstream import Request, Upstream
from tests.support.upstream_script import Call, Script, Text, ToolCalls, Usage
from wsgi_app.auth import DEVELOPMENT_TOKEN

FOLDER: Final = ROOT / ".open-responses"
#: The cases that need a model which calls tools, or takes images.
FOR_MODELS: Final = {"tool-calling", "image-input"}
CASES: Final = 17

pytestmark = [pytest.mark.open_responses, pytest.mark.timeout(300)]


class CallingUpstream(Upstream):
    """A model that calls the first tool that a request has, unless it has been called."""

    def take_script(self, request: Request) -> Script:
        """See `Upstream.take_script`."""
        super().take_script(request)
        names = [tool["function"]["name"] for tool in request.body.get("tools", [])]
        if "get_weather" in names and request.body["messages"][-1]["role"] == "user":
            return (ToolCalls((Call("call_1", "get_weather", '{"location":"Paris"}'),)),)
        return (Text(("It", " is", " so.")), Usage(7, 3))


def run_suite(server: Server, prefix: str = "") -> dict[str, str]:
    """Each case's status; what failed is told with its errors."""
    command = [str(FOLDER / "node_modules/.bin/bun"), "run", "bin/compliance-test.ts", "--json"]
    base = f"{server.url}{prefix}/v1"
    done = subprocess.run(
        [*command, "--base-url", base, "--api-key", DEVELOPMENT_TOKEN],
        cwd=FOLDER / "suite",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return {one["id"]: _status(one) for one in results if one["status"] != "running"}


def _status(result: dict[str, Any]) -> str:
    errors = f": {result.get('errors')}" if result["status"] != "passed" else ""
    return f"{result['status']}{errors}"


def test_a_model_passes_all_of_the_suite() -> None:
    """With a model that calls tools, behind two workers, all cases pass."""
    with redis_server() as store, CallingUpstream() as upstream:
        env = {**upstream.environment, "AGENT_REDIS_URL": store.url, "AGENT_TOKENS": "dev=tenant"}
        with gunicorn("wsgi_app:app", workers=2, threads=16, env=env) as server:
            made = run_suite(server)
    assert len(made) == CASES
    failed = {name: status for name, status in made.items() if status != "passed"}
    assert failed == {}


def test_the_demo_agent_passes_what_needs_no_model() -> None:
    """With the demo agent all cases pass but those for models."""
    env = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    with gunicorn("wsgi_app:app", threads=16, env=env) as server:
        made = run_suite(server)
    assert {name for name, status in made.items() if status != "passed"} <= FOR_MODELS
    assert len(made) == CASES
