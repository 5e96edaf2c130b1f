"""What comes with a message reaches each kind of agent: files, and tools of the client's."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.clients.openai_host import new_client
from tests.support.agent_kinds import KINDS
from tests.support.client import new_session
from tests.support.kinds_app import prefix_of
from tests.support.reading import ReadingClient
from tests.support.resting import ask, give, rests_and_goes_on
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from wsgi_app.auth import DEVELOPMENT_TOKEN

TAKING = [kind for kind in KINDS if not kind.startswith("langgraph")]
PAINT: Any = {
    "type": "function",
    "name": "paint",
    "description": "Paint a wall.",
    "parameters": {"type": "object", "properties": {"wall": {"type": "integer"}}},
}
ONE, TWO = (Call(f"c{n}", "paint", json.dumps({"wall": n})) for n in (1, 2))

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
PDF = base64.b64encode(b"%PDF-1.7 and more").decode()
IMAGE = f"data:image/png;base64,{PNG}"
FILE = f"data:application/pdf;base64,{PDF}"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The provider."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[Gunicorn]:
    """Two workers: an answer comes to any of them."""
    with redis_server() as store:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=tenant scopes=chat+read+cancel+admin",
        }
        app = "tests.support.kinds_app:app()"
        with gunicorn(app, workers=2, threads=8, env=env, frameworks=True) as running:
            yield running


def client_of(server: Gunicorn, kind: str) -> OpenAI:
    """The package, for one kind."""
    url = f"{server.url}{prefix_of(kind)}/v1"
    return new_client(server.url, max_retries=0).with_options(base_url=url)


@pytest.mark.parametrize("kind", TAKING)
def test_a_models_calls_go_to_the_client(server: Gunicorn, upstream: Upstream, kind: str) -> None:
    """All of a step's at once, as the API's own calls; the turn goes on with their outputs."""
    upstream.script(ToolCalls((ONE, TWO)))
    upstream.script(Text(("Painted.",)))
    client = client_of(server, kind)
    first = client.responses.create(model="any", input=f"paint {kind}", tools=[PAINT])
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("paint", {"wall": 1}),
        ("paint", {"wall": 2}),
    ]
    told: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"wall {n} is blue"}
        for n, call in enumerate(calls, 1)
    ]
    second = client.responses.create(model="any", input=told, previous_response_id=first.id)
    assert second.output_text == "Painted."
    assert [item.type for item in second.output] == ["message"]
    body = json.dumps(upstream.requests[-1].body)
    assert "wall 1 is blue" in body
    assert "wall 2 is blue" in body
    upstream.script(Text(("Yes.",)))
    third = client.responses.create(model="any", input="dry?", previous_response_id=second.id)
    assert third.output_text == "Yes."
    assert "wall 1 is blue" in json.dumps(upstream.requests[-1].body), "it is history"


@pytest.mark.slow
@pytest.mark.parametrize("kind", TAKING)
def test_a_call_that_takes_long_has_no_thread(
    server: Gunicorn, upstream: Upstream, kind: str
) -> None:
    """The turn rests, and goes on in the same worker."""
    rests_and_goes_on(ReadingClient(server, prefix=prefix_of(kind)), upstream)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TAKING)
def test_a_killed_worker_leaves_the_calls_to_another(
    server: Gunicorn, upstream: Upstream, kind: str
) -> None:
    """They stay asked, under their name, and are offered to the model still."""
    client = ReadingClient(server, prefix=prefix_of(kind))
    session = new_session()
    request_id = ask(client, upstream, session, ONE, TWO)
    os.kill(owner_pid(client, session), signal.SIGKILL)
    upstream.script(Text(("Painted.",)))
    assert give(client, session, request_id, "c1", "c2").status == 200
    client.wait_idle(session, 20)
    assert client.session(session)["messages"][-1]["content"] == "Painted."
    body = json.dumps(upstream.requests[-1].body)
    assert "wet c1" in body
    assert "wet c2" in body
    assert '"name": "paint"' in json.dumps(upstream.requests[-1].body["tools"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in TAKING])
def test_a_graph_passes_them_over(server: Gunicorn, upstream: Upstream, kind: str) -> None:
    """LangGraph's tools are in the graph: its model is not shown the client's."""
    upstream.script(Text(("No.",)))
    answer = client_of(server, kind).responses.create(model="any", input="x", tools=[PAINT])
    assert answer.output_text == "No."
    assert "paint" not in json.dumps(upstream.requests[-1].body)


@pytest.mark.parametrize("kind", TAKING[-1:])
def test_too_many_are_refused(server: Gunicorn, kind: str) -> None:
    """As with the built-in agent."""
    tools: Any = [{**PAINT, "name": f"t{n}"} for n in range(129)]
    with pytest.raises(openai.BadRequestError):
        client_of(server, kind).responses.create(model="any", input="x", tools=tools)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_shown_what_came(server: Gunicorn, upstream: Upstream, kind: str) -> None:
    """An image, one that is elsewhere and a document go to the provider, beside the text."""
    upstream.script(Text(("A heart.",)))
    client = client_of(server, kind)
    content: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": FILE}},
    ]
    answer = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": content}]
    )
    assert answer.choices[0].message.content == "A heart."
    body = upstream.requests[-1].body
    newest = (body.get("messages") or body["input"])[-1]
    parts = {part["type"]: part for part in newest["content"]}
    expected = {"chat": {"text", "image_url", "file"}}.get(
        kind.rpartition(" ")[2], {"input_text", "input_image", "input_file"}
    )
    assert set(parts) == expected
    told = json.dumps(newest)
    for shown in ("What is it?", PNG, "https://example.org/a.png", PDF):
        assert shown in told, shown
