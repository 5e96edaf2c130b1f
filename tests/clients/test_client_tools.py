"""Tools that the client runs, called by a model behind two kinds of agents, on two workers.

The built-in agent waits in its turn; a graph of LangGraph's waits where its checkpoints are shared.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.client_tools import (
    APPS,
    ONE,
    PAINT,
    PAINT_CHAT,
    SCHEMA,
    TWO,
    Rig,
    native,
    output,
    outputs,
    serving,
)
from tests.clients.openai_host import new_client
from tests.support.client import Client, new_session
from tests.support.node import run_node
from tests.support.reading import ReadingClient
from tests.support.servers import redis_server
from tests.support.shared_servers import SharedServers
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls


@pytest.fixture(scope="module", params=list(APPS))
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig."""
    folder = tmp_path_factory.mktemp("rig")
    with redis_server() as store, Upstream() as upstream:
        env = {**upstream.environment, "AGENT_INPUT_TIMEOUT_SECONDS": "20"}
        with serving(request.param, folder, store, workers=2, threads=16, env=env) as it:
            yield Rig(it, upstream, new_client(it.url, max_retries=0))


def test_a_response_ends_with_calls_and_their_outputs_go_on(rig: Rig) -> None:
    """The model sees the client's tool beside the host's own, and its results."""
    rig.upstream.script(ToolCalls((ONE, Call("c3", "add", '{"a":1,"b":2}'), TWO)))
    rig.upstream.script(Text(("Painted.",)))
    first = rig.client.responses.create(model="any", input="paint", tools=[PAINT])
    assert first.status == "completed"
    names = [tool["function"]["name"] for tool in rig.upstream.requests[-1].body["tools"]]
    assert {"add", "paint"} <= set(names)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("paint", {"wall": 1}),
        ("paint", {"wall": 2}),
    ]
    told: Any = [output(calls[1], "two"), output(calls[0], "one")]
    second = rig.client.responses.create(model="any", input=told, previous_response_id=first.id)
    assert second.output_text == "Painted."
    assert [item.type for item in second.output] == ["message"]
    results = [m["content"] for m in rig.newest() if m["role"] == "tool"]
    assert results == ["one", "3", "two"]


def test_the_calls_are_history_for_the_next_turn(rig: Rig) -> None:
    """What the client's tool gave is part of the conversation."""
    rig.upstream.script(ToolCalls((ONE,)))
    rig.upstream.script(Text(("Done.",)))
    rig.upstream.script(Text(("Yes.",)))
    first = rig.client.responses.create(model="any", input="paint it", tools=[PAINT])
    told: Any = [output(first.output[-1], "wet")]
    second = rig.client.responses.create(model="any", input=told, previous_response_id=first.id)
    rig.client.responses.create(model="any", input="dry?", previous_response_id=second.id)
    roles = [message["role"] for message in rig.newest()]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_a_client_that_sends_all_of_it_needs_no_previous_response(rig: Rig) -> None:
    """The calls' ids say which turn waits."""
    rig.upstream.script(ToolCalls((ONE,)))
    rig.upstream.script(Text(("Done.",)))
    with rig.client.responses.stream(
        model="any", input="paint again", tools=[PAINT], store=False
    ) as stream:
        first = stream.get_final_response()
    call = first.output[-1]
    said: Any = [{"role": "user", "content": "paint again"}, call.to_dict(), output(call, "wet")]
    with rig.client.responses.stream(model="any", input=said, tools=[PAINT], store=False) as more:
        assert more.get_final_response().output_text == "Done."


def test_outputs_that_are_missing_or_nobodys_are_refused(rig: Rig) -> None:
    """All open calls need their outputs; what no turn waits for is told so."""
    rig.upstream.script(ToolCalls((ONE, TWO)))
    rig.upstream.script(Text(("Done.",)))
    first = rig.client.responses.create(model="any", input="both", tools=[PAINT])
    one, two = first.output[-2:]
    half: Any = [output(one, "1")]
    with pytest.raises(openai.BadRequestError) as missing:
        rig.client.responses.create(model="any", input=half, previous_response_id=first.id)
    assert missing.value.param == "input"
    whole: Any = [output(one, "1"), output(two, "2")]
    rig.client.responses.create(model="any", input=whole, previous_response_id=first.id)
    with pytest.raises(openai.ConflictError) as late:
        rig.client.responses.create(model="any", input=whole, previous_response_id=first.id)
    assert late.value.code == "no_pending_input"


def complete(rig: Rig, messages: list[Any], *, stream: bool) -> tuple[Any, str]:
    """The message of a chat completion, and why it ended."""
    fields: Any = {"model": "any", "messages": messages, "tools": [PAINT_CHAT]}
    if not stream:
        choice = rig.client.chat.completions.create(**fields).choices[0]
        return choice.message.to_dict(), choice.finish_reason
    with rig.client.chat.completions.stream(**fields) as events:
        for _ in events:
            pass
        choice = events.get_final_completion().choices[0]
    return choice.message.to_dict(), str(choice.finish_reason)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_completion_ends_with_calls_and_goes_on(rig: Rig, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """Calls end it as a model's do; the messages with their results go on with the turn."""
    rig.upstream.script(Text(("Let me.",)), ToolCalls((ONE, TWO)))
    rig.upstream.script(ToolCalls((Call("c4", "paint", '{"wall":3}'),)))
    rig.upstream.script(Text(("All done.",)))
    messages: list[Any] = [{"role": "user", "content": f"paint {stream}"}]
    for count in (2, 1):
        message, reason = complete(rig, messages, stream=stream)
        assert reason == "tool_calls"
        assert len(message["tool_calls"]) == count
        messages.append(message)
        for call in message["tool_calls"]:
            wall = json.loads(call["function"]["arguments"])["wall"]
            told = {"role": "tool", "tool_call_id": call["id"], "content": f"wall {wall}"}
            messages.append(told)
    message, reason = complete(rig, messages, stream=stream)
    assert (message["content"], reason) == ("All done.", "stop")
    results = [m["content"] for m in rig.newest() if m["role"] == "tool"]
    assert results == ["wall 1", "wall 2", "wall 3"]
    with pytest.raises(openai.ConflictError) as late:
        complete(rig, messages, stream=False)
    assert late.value.code == "no_pending_input"


@pytest.mark.parametrize(
    ("tools", "field"),
    [
        ([PAINT, PAINT], "tools.1.name"),
        ([{**PAINT, "name": "add"}], "tools.0.name"),
        ([{**PAINT, "name": "no name"}], "tools.0.name"),
        ([{**PAINT, "parameters": {"title": 70_000 * "x"}}], "tools.0.parameters"),
        ([{**PAINT, "name": f"paint{number}"} for number in range(129)], "tools"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused(rig: Rig, tools: Any, field: str) -> None:
    """Two of a name, one of the agent's own, too many, too large: the field is named."""
    begun = len(rig.upstream.requests)
    with pytest.raises(openai.BadRequestError) as refused:
        rig.client.responses.create(model="any", input="hi", tools=tools)
    assert refused.value.param == field
    assert len(rig.upstream.requests) == begun


def test_a_page_runs_what_the_model_calls(rig: Rig) -> None:
    """In JSON mode the request says what is to be run, and its results go on with the turn."""
    rig.upstream.script(ToolCalls((ONE, TWO)))
    rig.upstream.script(Text(("Painted.",)))
    tools = [{"name": "paint", "description": "Paint.", "parameters": SCHEMA}]
    session = secrets.token_hex(8)
    body = {"message": "paint", "tools": tools}
    asked = native(rig, f"chat/{session}", body, Accept="application/json")
    details = asked.json()["details"]
    assert (asked.status_code, asked.json()["code"]) == (409, "input_required")
    assert [(call["tool"], call["input"]) for call in details["calls"]] == [
        ("paint", {"wall": 1}),
        ("paint", {"wall": 2}),
    ]
    path, request_id = f"chat/{session}/tool_result", details["request_id"]
    one, two = ({"call_id": call["call_id"], "output": "wet"} for call in details["calls"])
    for results, field in (
        ([one], "results"),
        ([one, two, {"call_id": "c9"}], "results.2.call_id"),
        ([one, one], "results.1.call_id"),
    ):
        refused = native(rig, path, {"request_id": request_id, "results": results})
        assert refused.json()["details"]["field"] == field
    nobodys = native(rig, path, {"request_id": "none", "results": [one]})
    assert (nobodys.status_code, nobodys.json()["code"]) == (409, "no_pending_input")
    given = native(rig, path, {"request_id": request_id, "results": [one, two]})
    assert given.json() == {"ok": True}
    late = native(rig, path, {"request_id": request_id, "results": [one, two]})
    assert late.json()["code"] == "no_pending_input"
    reader = ReadingClient(rig.server)
    reader.wait_idle(session)
    assert reader.session(session)["messages"][-1]["content"] == "Painted."


def test_the_clients_functions_run_by_themselves(rig: Rig) -> None:
    """agent-client.js runs the page's functions; what one throws is an error for the model."""
    rig.upstream.script(ToolCalls((ONE, Call("c2", "scrape", "{}"))))
    rig.upstream.script(Text(("Done.",)))
    session = secrets.token_hex(8)
    url, other = f"{rig.url}/agents", f"{rig.url}/agents/"
    (made,) = run_node("agent_client.mjs", scenario="tools", url=url, other=other, session=session)
    results = {e["call_id"]: e for e in made["events"] if e["type"] == "tool_result"}
    assert results["c1"]["output"] == "wall 1 is blue"
    assert (results["c2"]["output"], results["c2"]["status"]) == ("Error: no brush", "error")
    assert made["events"][-1]["reply"] == "Done."


def test_a_reloaded_page_runs_what_waits(rig: Rig) -> None:
    """A page that went away while its tool was asked for runs it when it reads the turn again."""
    rig.upstream.script(ToolCalls((ONE,)))
    rig.upstream.script(Text(("Done.",)))
    session = secrets.token_hex(8)
    given: dict[str, Any] = {
        "url": f"{rig.url}/agents",
        "other": f"{rig.url}/agents/",
        "session": session,
    }
    (made,) = run_node("agent_client.mjs", scenario="tools", again=True, **given)
    kinds = [event["type"] for event in made["events"]]
    assert kinds == ["tool_request", "tool_result", "token", "done"]


def test_an_agent_that_calls_none_says_so(servers: SharedServers) -> None:
    """A plain generator's host refuses a page's tools, and passes over those of other clients."""
    server = servers.get()
    client = Client(server)
    tools = [{"name": "paint"}]
    refused = client.call("POST", f"/chat/{new_session()}", {"message": "hi", "tools": tools})
    assert (refused.status, refused.json["details"]["field"]) == (422, "tools")
    made = new_client(server.url).responses.create(model="any", input="hi", tools=[PAINT])
    assert made.output_text == "hi"


def test_a_cancel_ends_the_wait_for_a_page(rig: Rig) -> None:
    """A turn that waits for its page is cancelled as one that asks, and takes no result then."""
    rig.upstream.script(ToolCalls((ONE,)))
    tools = [{"name": "paint", "parameters": SCHEMA}]
    session = secrets.token_hex(8)
    asked = native(
        rig, f"chat/{session}", {"message": "paint", "tools": tools}, Accept="application/json"
    ).json()["details"]
    assert native(rig, f"chat/{session}/cancel", {}).json()["cancelled"] is True
    results = [{"call_id": "c1", "output": "wet"}]
    late = native(
        rig,
        f"chat/{session}/tool_result",
        {"request_id": asked["request_id"], "results": results},
    )
    assert late.json()["code"] == "no_pending_input"


@pytest.mark.parametrize("version", ["ai-6", "ai-7"])
def test_use_chat_runs_its_pages_tools(rig: Rig, version: str) -> None:
    """The AI SDK gets static tool calls, runs them by onToolCall, and goes on by itself."""
    rig.upstream.script(ToolCalls((ONE, TWO)))
    rig.upstream.script(Text(("Painted.",)))
    session = secrets.token_hex(8)
    made: list[Any] = run_node(
        "client_tools.mjs", scenario=version, url=rig.url, token="dev", session=session
    )
    walls = [["tool-paint", "output-available", f"wall {wall} is blue"] for wall in (1, 2)]
    assert made == [[walls, "Painted.", "ready", 2]]
    assert outputs(rig) == ["wall 1 is blue", "wall 2 is blue"]


def test_an_ag_ui_client_runs_its_pages_tools(rig: Rig) -> None:
    """A run ends with the calls; the run whose messages end with their results goes on."""
    rig.upstream.script(ToolCalls((ONE, TWO)))
    rig.upstream.script(Text(("Painted.",)))
    session = secrets.token_hex(8)
    made: list[Any] = run_node(
        "client_tools.mjs", scenario="ag-ui", url=rig.url, token="dev", session=session
    )
    assert made == [[["paint", "paint"], "Painted."]]
    assert outputs(rig) == ["wall 1 is blue", "wall 2 is blue"]
