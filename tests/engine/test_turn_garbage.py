"""What an ended turn leaves in memory where nothing looks for garbage: none of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.client import Client, new_session
from tests.support.servers import Gunicorn, gunicorn
from tests.support.sse import open_stream
from tests.support.upstream import Upstream
from tests.support.upstream_script import AnyStep, Call, Stall, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

HEADERS = {"Authorization": "Bearer dev"}
TURNS = 5
TOOL: list[AnyStep] = [ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))]
ANSWER: list[AnyStep] = [Text(("Hel", "lo"))]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module", params=["thread", "parked"])
def server(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Gunicorn]:
    """One worker that shows its garbage."""
    app = "tests.support.garbage_app:garbage_app()"
    with gunicorn(app, workers=1, delivery=request.param, env=upstream.environment) as server:
        yield server


def stream(server: Gunicorn, *scripts: list[AnyStep]) -> None:
    """Read a turn on the host's own wire."""
    _chat(server, *scripts, until="done")


def stop(server: Gunicorn) -> None:
    """Cancel a turn in mid-answer."""
    message = scripted_message([Text(("Hel",)), Stall()], tag=new_session())
    url = f"{server.url}/agents/chat/{new_session()}"
    with open_stream("POST", url, json={"message": message}, headers=HEADERS) as frames:
        assert frames.until("token")
        requests.post(f"{url}/cancel", headers=HEADERS, timeout=10).raise_for_status()
        assert frames.until("cancelled")


def answer_json(server: Gunicorn) -> None:
    """Have a whole answer as one document."""
    fields = {"message": scripted_message(ANSWER, tag=new_session())}
    headers = {**HEADERS, "Accept": "application/json"}
    url = f"{server.url}/agents/chat/{new_session()}"
    answer = requests.post(url, json=fields, headers=headers, timeout=20)
    assert answer.json()["reply"] == "Hello"


def complete(server: Gunicorn) -> None:
    """Read a turn as openai's clients do."""
    content = scripted_message(ANSWER, tag=new_session())
    body = {"model": "agent", "stream": True, "messages": [{"role": "user", "content": content}]}
    url = f"{server.url}/agents/v1/chat/completions"
    answer = requests.post(url, json=body, headers=HEADERS, timeout=20)
    assert answer.text.rstrip().endswith("data: [DONE]")


def _chat(server: Gunicorn, *scripts: list[AnyStep], until: str) -> None:
    message = scripted_message(*scripts, tag=new_session())
    url = f"{server.url}/agents/chat/{new_session()}"
    with open_stream("POST", url, json={"message": message}, headers=HEADERS) as frames:
        assert frames.until(until)


KINDS = {
    "an answer": lambda server: stream(server, ANSWER),
    "a tool": lambda server: stream(server, TOOL, ANSWER),
    "a stop": stop,
    "JSON": answer_json,
    "a completion": complete,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_is_freed_without_a_search(server: Gunicorn, kind: str) -> None:
    """As the last one lets go of a turn its parts are freed: they do not hold each other."""
    client = Client(server, None, prefix="")
    run: Any = KINDS[kind]
    for _ in range(TURNS):
        run(server)
    wait_for(lambda: client.call("GET", "/left").json == {}, "all parts of the turns are freed")
