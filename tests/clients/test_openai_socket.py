"""Responses over a WebSocket, as `openai.responses.connect()` speaks it, across two workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from openai.resources.responses.responses import ResponsesConnection
from openai.types.responses import ResponsesServerEvent

from tests.clients.openai_host import doing, new_client, openai_host
from tests.support.reading import wait_observed
from tests.support.servers import Gunicorn
from wsgi_app.wires.openai.ids import ResponseRef

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
ENDS = ("response.completed", "response.failed", "response.incomplete", "error")


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers and their store."""
    with openai_host() as server:
        yield server


@pytest.fixture
def client(server: Gunicorn) -> OpenAI:
    """The package, as it is."""
    return new_client(server.url)


def create(
    connection: ResponsesConnection, *steps: dict[str, Any], **fields: Any
) -> list[ResponsesServerEvent]:
    """Ask for a response and take its events, up to its end."""
    fields = {"model": "any", "input": "hi", **fields}
    connection.send({"type": "response.create", **fields, **doing(*steps)})  # type: ignore[arg-type] # steps are none of its metadata's texts
    return until_end(connection)


def until_end(connection: ResponsesConnection) -> list[ResponsesServerEvent]:
    """The events up to the end of a response."""
    events = []
    for event in connection:
        events.append(event)
        if event.type in ENDS:
            break
    return events


def final(events: list[ResponsesServerEvent]) -> Any:
    """The response at the end of its events."""
    assert events[-1].type in ENDS
    return events[-1].response  # type: ignore[union-attr] # it has one


def code_of(events: list[ResponsesServerEvent]) -> str:
    """The code of the error that a request got."""
    told = events[-1].to_dict()
    assert told["type"] == "error"
    return str(told["error"]["code"])  # type: ignore[index] # an object


def test_responses_come_one_after_the_other(client: OpenAI) -> None:
    """Each request gets the events of a stream, with the numbers that they have there."""
    with client.responses.connect() as connection:
        for text in ("one", "two"):
            events = create(connection, {"text": text})
            assert events[0].type == "response.created"
            numbers = [event.sequence_number for event in events]
            assert numbers == list(range(len(events)))
            assert final(events).output_text == text
    kept = client.responses.retrieve(final(events).id)
    assert kept.output_text == "two"


def test_a_response_that_is_not_stored_goes_on_where_it_was_said(client: OpenAI) -> None:
    """Its own connection knows it, another one does not, and then it begins again."""
    with client.responses.connect() as connection:
        first = final(create(connection, {"text": "ok"}, input="cobalt", store=False))
        again = {"store": False, "previous_response_id": first.id}
        second = final(create(connection, {"tell": "history"}, **again))
        said = [message["content"] for message in json.loads(second.output_text)]
        assert said == ["cobalt", "ok"]
        assert second.previous_response_id == first.id
    with client.responses.connect() as other:
        assert code_of(create(other, {"text": "x"}, **again)) == "previous_response_not_found"
        assert final(create(other, {"text": "again"}, store=False)).output_text == "again"


def test_a_failed_continuation_forgets_what_it_went_on_with(client: OpenAI) -> None:
    """A refused request takes the response that it named out of the connection's memory."""
    with client.responses.connect() as connection:
        first = final(create(connection, {"text": "ok"}, store=False))
        again = {"store": False, "previous_response_id": first.id}
        nobody = [{"type": "function_call_output", "call_id": "call_none", "output": "1"}]
        assert code_of(create(connection, input=nobody, **again)) == "invalid_request"
        assert code_of(create(connection, **again)) == "previous_response_not_found"


def test_a_stored_response_goes_on_from_anywhere(client: OpenAI) -> None:
    """What began by HTTP goes on over a socket, and by HTTP again."""
    body: Any = doing({"text": "one"})
    first = client.responses.create(model="any", input="a", extra_body=body)
    with client.responses.connect() as connection:
        second = final(create(connection, {"text": "two"}, previous_response_id=first.id))
    tell: Any = doing({"tell": "history"})
    third = client.responses.create(
        model="any", input="c", previous_response_id=second.id, extra_body=tell
    )
    said = [message["content"] for message in json.loads(third.output_text)]
    assert said == ["a", "one", "hi", "two"]


def test_a_question_is_answered_over_the_socket(client: OpenAI) -> None:
    """A question ends its response; its output goes on with the turn, stored or not."""
    for stored in (True, False):
        with client.responses.connect() as connection:
            asked = final(create(connection, {"ask": "colour?"}, store=stored))
            call = asked.output[-1]
            assert call.name == "ask_user"
            item = {"type": "function_call_output", "call_id": call.call_id, "output": "blue"}
            more = {"previous_response_id": asked.id, "store": stored}
            assert final(create(connection, input=[item], **more)).output_text == "blue"


def test_what_is_no_request_is_refused_and_the_connection_goes_on(client: OpenAI) -> None:
    """A message that is none gets an error with its status, and the next one its response."""
    with client.responses.connect() as connection:
        for text in ("no json", '{"type":"response.steer"}', '{"type":"response.create"}'):
            connection.send_raw(text)
            assert code_of(until_end(connection)) in ("invalid_json", "invalid_request")
        assert final(create(connection, {"text": "x"})).output_text == "x"


def test_a_connection_that_goes_stops_its_response(server: Gunicorn, client: OpenAI) -> None:
    """A client that closes in the middle of a response is one that has hung up."""
    with client.responses.connect() as connection:
        connection.send(
            {  # type: ignore[arg-type] # steps are none of its metadata's texts
                "type": "response.create",
                "model": "any",
                "input": "hi",
                **doing({"text": "x"}, {"hold": 1}),
            }
        )
        for event in connection:
            if event.type == "response.output_text.delta":
                break
            if event.type == "response.created":
                response_id = event.response.id
    wait_observed(server, "cancelled", ResponseRef.parse(response_id).session_id)


def test_a_response_repeats_what_its_request_said(client: OpenAI) -> None:
    """Read later, a response repeats its request, and its input is listed."""
    made = client.responses.create(
        model="any",
        input=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        temperature=0.5,
        instructions="In French.",
        extra_body={"metadata": {"topic": "x", "steps": [{"text": "x"}]}},
    )
    kept = client.responses.retrieve(made.id)
    assert (kept.temperature, kept.instructions) == (0.5, "In French.")
    assert kept.metadata == {"topic": "x"}
    listed = list(client.responses.input_items.list(made.id, order="asc"))
    assert [item.content[0].text for item in listed] == ["Be brief.", "hi"]  # type: ignore[union-attr, index] # both are messages
    (newest,) = client.responses.input_items.list(made.id, limit=1).data
    assert newest.content[0].text == "hi"  # type: ignore[union-attr, index] # it is a message


def test_a_compacted_conversation_is_gone_on_with(client: OpenAI) -> None:
    """What compact gives stands for the conversation, and only for what was said in it."""
    body: Any = doing({"text": "one"})
    first = client.responses.create(model="any", input="a", extra_body=body)
    compacted = client.responses.compact(
        model="any",
        previous_response_id=first.id,
        input=[{"role": "user", "content": "b"}, {"role": "assistant", "content": "two"}],
    )
    (item,) = compacted.output
    assert item.type == "compaction"
    told: Any = [item.to_dict(), {"role": "user", "content": "c"}]
    tell: Any = doing({"tell": "history"})
    second = client.responses.create(model="any", input=told, extra_body=tell)
    said = [message["content"] for message in json.loads(second.output_text)]
    assert said == ["a", "one", "b", "two"]
