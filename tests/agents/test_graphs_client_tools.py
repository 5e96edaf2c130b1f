"""Tools of the client's that models behind graphs of LangGraph call."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from flask import Flask
from openai import OpenAI

from tests.agents.test_what_comes_with import ONE, PAINT, TWO
from tests.clients.openai_host import new_client
from tests.support.client import WANTS_JSON, Client, new_session
from tests.support.documentation import block
from tests.support.graphs import make_model
from tests.support.openai_apps import add
from tests.support.reading import ReadingClient
from tests.support.resting import rests_and_goes_on
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from wsgi_app import AgentHost
from wsgi_app.agents.langgraph import LangGraphAgent

ADD = Call("c3", "add", '{"a":1,"b":2}')
#: Those that go on behind their node for tools, and those that end with their client's calls.
WITH_NODE = ["agents", "own", "one-tool-node", "nested", "headless"]
ENDING = ["without-tools", "copilotkit"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The provider."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module", params=["none", "shared"])
def server(
    upstream: Upstream, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """Two workers, whose graphs remember nothing, or all the same."""
    with redis_server() as store:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": "dev=tenant scopes=chat+read+cancel+admin",
        }
        if request.param == "shared":
            env["MEMORY_FOLDER"] = str(tmp_path_factory.mktemp("graphs"))
        app = "tests.support.graph_tools_app:app()"
        with gunicorn(app, workers=2, threads=8, env=env, frameworks=True) as running:
            yield running


def client_of(server: Gunicorn, graph: str) -> OpenAI:
    """The package, for one graph."""
    return new_client(server.url, max_retries=0).with_options(base_url=f"{server.url}/{graph}/v1")


def given(calls: list[Any], *outputs: str) -> Any:
    """The outputs of calls."""
    return [
        {"type": "function_call_output", "call_id": call.call_id, "output": output}
        for call, output in zip(calls, outputs)
    ]


def calls_of(response: Any) -> list[Any]:
    """What the client is to run."""
    return [item for item in response.output if item.type == "function_call"]


def results_at(upstream: Upstream) -> list[str]:
    """The tools' results in the model's newest request."""
    messages: list[dict[str, Any]] = upstream.requests[-1].body["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


@pytest.mark.parametrize("graph", [*WITH_NODE, *ENDING])
def test_a_graphs_calls_go_to_its_client(server: Gunicorn, upstream: Upstream, graph: str) -> None:
    """All of a step's at once, beside the graph's own tool; it goes on with their outputs."""
    calls = (ONE, ADD, TWO) if graph in WITH_NODE else (ONE, TWO)
    upstream.script(ToolCalls(calls))
    upstream.script(Text(("Painted.",)))
    client = client_of(server, graph)
    first = client.responses.create(model="any", input=f"paint {graph}", tools=[PAINT])
    offered = [tool["function"]["name"] for tool in upstream.requests[-1].body["tools"]]
    assert offered.count("paint") == 1
    asked = calls_of(first)
    assert [json.loads(call.arguments) for call in asked] == [{"wall": 1}, {"wall": 2}]
    second = client.responses.create(
        model="any", input=given(asked, "blue", "red"), previous_response_id=first.id
    )
    assert second.output_text == "Painted."
    assert not calls_of(second)
    expected = ["blue", "3", "red"] if graph in WITH_NODE else ["blue", "red"]
    assert sorted(results_at(upstream)) == sorted(expected)
    upstream.script(Text(("Yes.",)))
    third = client.responses.create(model="any", input="dry?", previous_response_id=second.id)
    assert third.output_text == "Yes."
    assert sorted(results_at(upstream)) == sorted(expected), "it is history"


def test_an_own_tool_runs_once_beside_the_clients(server: Gunicorn, upstream: Upstream) -> None:
    """The client is told of its calls alone, once each; the graph's own are the graph's."""
    upstream.script(ToolCalls((ADD, ONE)))
    upstream.script(Text(("Done.",)))
    client = Client(server, token="dev", prefix="/own")
    session = new_session()
    body = {"message": "both", "tools": [{"name": "paint"}]}
    with client.stream("POST", f"/chat/{session}", body) as stream:
        frames = stream.until("tool_request")
        results = [{"call_id": "c1", "output": {"wall": "blue"}}]
        answer = {"request_id": frames[-1].data["request_id"], "results": results}
        assert client.call("POST", f"/chat/{session}/tool_result", answer).status == 200
        frames += stream.until("done")
    events = [frame.data for frame in frames]
    told = [(event["type"], event.get("call_id")) for event in events if "tool" in event["type"]]
    assert told.count(("tool_call", "c3")) == 1
    assert told.count(("tool_result", "c3")) == 1
    assert told.count(("tool_result", "c1")) == 1
    assert ("tool_call", "c1") not in told


def test_names_of_a_graphs_own_tools_are_refused(server: Gunicorn) -> None:
    """But for those that it leaves to its client."""
    tools: Any = [{**PAINT, "name": "add"}]
    with pytest.raises(openai.BadRequestError) as refused:
        client_of(server, "own").responses.create(model="any", input="x", tools=tools)
    assert refused.value.param == "tools.0.name"


def test_a_graph_that_does_not_say_so_passes_them_over(
    server: Gunicorn, upstream: Upstream
) -> None:
    """Its model is not shown the client's, and what its tool asks is a question."""
    upstream.script(ToolCalls((ONE,)))
    client = client_of(server, "plain")
    tools: Any = [{**PAINT, "name": "wash"}]
    answer = client.responses.create(model="any", input="x", tools=tools)
    assert "wash" not in json.dumps(upstream.requests[-1].body)
    assert [call.name for call in calls_of(answer)] == ["ask_user"]
    refused = Client(server, token="dev", prefix="/plain").call(
        "POST", f"/chat/{new_session()}", {"message": "hi", "tools": [{"name": "wash"}]}
    )
    assert (refused.status, refused.json["details"]["field"]) == (422, "tools")


def test_readme_shows_how(upstream: Upstream) -> None:
    """The page's lines make an agent whose model is offered the client's tools."""
    names: dict[str, Any] = {
        "LangGraphAgent": LangGraphAgent,
        "model": make_model(upstream),
        "tools": [add],
        "checkpointer": None,
    }
    exec(block("python", "ClientTools", "docs/frameworks.md"), names)  # noqa: S102 - the page's own code
    app = Flask("site")
    AgentHost(names["agent"]).init_app(app, url_prefix="/agents")
    upstream.script(ToolCalls((ONE,)))
    answer = app.test_client().post(
        "/agents/chat",
        json={"message": "paint", "tools": [{"name": "paint"}]},
        headers={"Authorization": "Bearer dev", "Accept": "application/json"},
    )
    assert answer.json is not None
    assert answer.json["code"] == "input_required"
    (call,) = answer.json["details"]["calls"]
    assert (call["tool"], call["input"]) == ("paint", {"wall": 1})


@pytest.mark.slow
@pytest.mark.parametrize("graph", [*WITH_NODE, *ENDING])
@pytest.mark.parametrize("server", ["shared"], indirect=True)
def test_a_call_that_takes_long_has_no_thread(
    server: Gunicorn, upstream: Upstream, graph: str
) -> None:
    """The turn rests in its checkpoint, and goes on in the same worker."""
    rests_and_goes_on(ReadingClient(server, "dev", f"/{graph}"), upstream)


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["own", "nested", *ENDING, "headless"])
def test_a_killed_worker_leaves_the_call_to_another(
    upstream: Upstream, tmp_path: Path, graph: str
) -> None:
    """It is asked still, under its name; what the graph's own tool gave is not run again."""
    with redis_server() as store:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": "dev=tenant scopes=chat+read+cancel+admin",
            "AGENT_LEASE_SECONDS": "1",
            "MEMORY_FOLDER": str(tmp_path),
        }
        app = "tests.support.graph_tools_app:app()"
        with gunicorn(app, workers=2, threads=8, env=env, frameworks=True) as server:
            client = ReadingClient(server, "dev", f"/{graph}")
            session = new_session()
            upstream.script(ToolCalls((ONE,) if graph in ENDING else (ADD, ONE)))
            upstream.script(Text(("Painted.",)))
            before = len(upstream.requests)
            body = {
                "message": "paint",
                "tools": [{"name": "paint"}],
                "on_disconnect": "continue",
            }
            asked = client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON).json
            os.kill(owner_pid(client, session), signal.SIGKILL)
            results = [{"call_id": "c1", "output": "wet"}]
            given = {"request_id": asked["details"]["request_id"], "results": results}
            assert client.call("POST", f"/chat/{session}/tool_result", given).status == 200
            client.wait_idle(session, 20)
            assert client.session(session)["messages"][-1]["content"] == "Painted."
            assert len(upstream.requests) - before == 2
            assert results_at(upstream) == (["wet"] if graph in ENDING else ["3", "wet"])
