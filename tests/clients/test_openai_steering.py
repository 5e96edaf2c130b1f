"""``response.steer`` over the WebSocket, as the openai package sends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from openai.resources.responses.responses import ResponsesConnection
from openai.types.responses import FunctionToolParam

from tests.support.node import run_node
from tests.support.service import Service, service
from tests.support.upstream import Upstream
from tests.support.upstream_script import AnyStep, Call, Text, ToolCalls, scripted_message

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
ENDS = ("response.completed", "response.failed", "response.incomplete", "error")
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "page_title",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One host of one worker, whose agent asks a provider."""
    with (
        Upstream() as upstream,
        service(
            "tests.support.steered_app:app()", hosts=1, workers=1, env=upstream.environment
        ) as running,
    ):
        yield running


def client_of(shared: Service, agent: str) -> OpenAI:
    """The package, as it is."""
    return OpenAI(base_url=f"{shared.hosts[0].url}/{agent}/v1", api_key="dev", timeout=30)


def create(connection: ResponsesConnection, *steps: AnyStep, **fields: Any) -> None:
    """Ask for a response that the provider answers with these steps."""
    text = scripted_message(list(steps))
    connection.response.create(**{"model": "any", "input": text, **fields})


def until(connection: ResponsesConnection, *kinds: str) -> list[Any]:
    """The events up to one of these kinds."""
    events: list[Any] = []
    for event in connection:
        events.append(event)
        if event.type in kinds:
            break
    return events


def test_a_response_is_steered_to_a_successor(shared: Service) -> None:
    """Accepted, then incomplete for `steered`, and a successor that goes on; both can be read."""
    with client_of(shared, "chat") as client, client.responses.connect() as connection:
        create(connection, Text(tuple("abcdefgh"), pace_seconds=0.1))
        first = until(connection, "response.output_text.delta")
        response_id = first[0].response.id
        steer = scripted_message([Text(("Left.",))])
        connection.response.steer(input=steer, previous_response_id=response_id)
        accepted = until(connection, "response.steer.accepted")[-1]
        assert accepted.steer.previous_response_id == response_id
        ended = until(connection, *ENDS)[-1]
        assert ended.type == "response.incomplete"
        assert ended.response.incomplete_details.reason == "steered"
        assert ended.response.output_text == "abcdefgh"
        behind = until(connection, *ENDS)
        assert behind[0].type == "response.created"
        successor = behind[-1].response
        assert successor.status == "completed"
        assert successor.previous_response_id == response_id
        assert successor.id != response_id
        assert successor.output_text == "\n\nLeft."
        kept = [client.responses.retrieve(one) for one in (response_id, successor.id)]
        assert [one.output_text for one in kept] == ["abcdefgh", "\n\nLeft."]
        assert [one.status for one in kept] == ["incomplete", "completed"]


def test_the_conversation_goes_on_behind_a_successor(shared: Service) -> None:
    """The next response follows the successor, on the same connection."""
    client = client_of(shared, "chat")
    with client.responses.connect() as connection:
        create(connection, Text(tuple("abcdefgh"), pace_seconds=0.1))
        response_id = until(connection, "response.output_text.delta")[0].response.id
        steer: Any = [
            {"type": "message", "role": "user", "content": scripted_message([Text(("L",))])}
        ]
        connection.response.steer(input=steer, previous_response_id=response_id)
        assert until(connection, *ENDS)[-1].type == "response.incomplete"
        successor = until(connection, *ENDS)[-1].response
        create(connection, Text(("Next.",)), previous_response_id=successor.id)
        assert until(connection, *ENDS)[-1].response.output_text == "Next."


def test_what_waits_behind_a_tool_is_pending(shared: Service) -> None:
    """While the client's tool is awaited the input stays queued, and goes with its output."""
    client = client_of(shared, "chat")
    with client.responses.connect() as connection:
        call = ToolCalls((Call("c1", "page_title", "{}"),))
        words = Text(tuple("abcdefgh"), pace_seconds=0.1)
        create(connection, words, call, tools=[TOOL])
        response_id = until(connection, "response.output_text.delta")[0].response.id
        steer = scripted_message([Text(("Left.",))])
        connection.response.steer(input=steer, previous_response_id=response_id)
        steer_id = until(connection, "response.steer.accepted")[-1].steer.id
        ended = until(connection, *ENDS)[-1]
        assert ended.type == "response.completed"
        pending = until(connection, "response.steer.pending")[-1]
        assert (pending.steer.id, pending.reason) == (steer_id, "waiting_for_required_input")
        (stub,) = pending.required_input
        answer: Any = {**stub.to_dict(), "output": "Shop"}
        answer.pop("name")
        connection.response.create(
            model="any", input=[answer], previous_response_id=response_id, tools=[TOOL]
        )
        last = until(connection, *ENDS)[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == "Left."


def test_refusals_return_the_input(shared: Service) -> None:
    """No response, another's, no text, an agent that does not listen: told with the input."""
    with client_of(shared, "chat").responses.connect() as connection:
        connection.response.steer(input="early", previous_response_id="resp_none")
        refused: Any = until(connection, "response.steer.failed")[-1]
        assert (refused.error.code, refused.steer.input) == ("response_not_active", "early")
        create(connection, Text(tuple("abcdefgh"), pace_seconds=0.1))
        response_id = until(connection, "response.output_text.delta")[0].response.id
        connection.response.steer(input="other", previous_response_id="resp_none")
        refused = until(connection, "response.steer.failed")[-1]
        assert refused.error.code == "response_not_found"
        connection.response.steer(input=" ", previous_response_id=response_id)
        refused = until(connection, "response.steer.failed")[-1]
        assert refused.error.code == "invalid_input"
        assert until(connection, *ENDS)[-1].type == "response.completed"
    with client_of(shared, "deaf").responses.connect() as connection:
        connection.response.create(model="any", input="hi")
        response_id = until(connection, "response.output_text.delta")[0].response.id
        connection.response.steer(input="hello", previous_response_id=response_id)
        refused = until(connection, "response.steer.failed")[-1]
        assert refused.error.code == "response_not_active"
        assert json.loads(refused.to_json())["steer"]["input"] == "hello"


def test_the_package_for_javascript_steers(shared: Service) -> None:
    """A successor that goes on, input that waits behind a tool, and a refusal: as above."""
    words = Text(tuple("abcdefgh"), pace_seconds=0.1)
    call = ToolCalls((Call("c1", "page_title", "{}"),))
    lines = run_node(
        "openai_steer.mjs",
        url=shared.hosts[0].url,
        slow=scripted_message([words]),
        calling=scripted_message([words, call]),
        left=scripted_message([Text(("Left.",))]),
        tools=[TOOL],
    )
    assert {line["name"]: line["outcome"] for line in lines} == {
        "steered": [
            True,
            ["incomplete", "steered", "abcdefgh"],
            ["completed", True, "\n\nLeft."],
            "\n\nLeft.",
        ],
        "pending": ["completed", "waiting_for_required_input", "page_title", "Left."],
        "refused": ["response_not_active", "hello"],
    }
