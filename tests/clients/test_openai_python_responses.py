"""The openai package for Python, as it is, with the agent as its model: responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    ResponseReasoningItem,
    ResponseStreamEvent,
)
from openai.types.responses.response_output_item import McpCall

from tests.clients.openai_host import doing, new_client, openai_host, turns_started
from tests.clients.openai_turns import HOLD, RETRY, STEPS, TOOL, hi, respond
from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """The host."""
    with openai_host() as server:
        yield server


@pytest.fixture
def client(server: Gunicorn) -> Iterator[OpenAI]:
    """A client of the host."""
    with new_client(server.url) as client:
        yield client


def text_after(events: list[ResponseStreamEvent], after: int) -> str:
    """The text that a stream's events behind a number bring."""
    return "".join(
        event.delta
        for event in events
        if event.type == "response.output_text.delta" and event.sequence_number > after
    )


def open_call(response: Response) -> ResponseFunctionToolCall:
    """The call that a response ends with."""
    call = response.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    return call


def test_a_response_streams_and_is_kept(client: OpenAI) -> None:
    """The helper's response, the one read later and the stream from anywhere are the same."""
    mcp: Any = {"tools": [{"type": "mcp", "server_label": "host"}]}
    asked = {**doing(*STEPS), **mcp}
    with client.responses.stream(model="any", input="hi", extra_body=asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "Hello"
    assert [item.type for item in final.output] == ["reasoning", "message", "mcp_call", "message"]
    call = final.output[2]
    assert isinstance(call, McpCall)
    assert (call.name, call.arguments, call.output) == ("add", '{"a":2}', '{"sum":5}')
    assert final.usage is not None
    assert final.usage.output_tokens == 3
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    assert client.responses.retrieve(final.id).output_text == "Hello"
    for after in (*range(0, len(events), 5), numbers[-1]):
        rest = client.responses.retrieve(final.id, stream=True, starting_after=after)
        assert [event.sequence_number for event in rest] == numbers[after + 1 :]
    with client.responses.stream(response_id=final.id, starting_after=4) as again:
        assert [event.sequence_number for event in again] == numbers[5:]
        assert again.get_final_response().output_text == "Hello"


def test_a_call_of_the_hosts_is_shown_to_every_client(client: OpenAI) -> None:
    """Unless a request asks for ``mcp_call``, calls are reasoning, and history when sent back."""
    first = client.responses.create(model="any", input="hi", extra_body=doing(*STEPS))
    assert [item.type for item in first.output] == ["reasoning", "message", "reasoning", "message"]
    assert isinstance(first.output[2], ResponseReasoningItem)
    assert first.output[2].summary[0].text == 'Called add({"a":2}): {"sum":5}'
    told: Any = [item.to_dict() for item in first.output]
    second = respond(client, {"tell": "history"}, input=[*told, *hi()])
    roles = [message["role"] for message in json.loads(second.output_text)]
    assert roles == ["assistant", "assistant", "tool", "assistant"]
    assert [event.type for event in client.responses.retrieve(first.id, stream=True)][-1] == (
        "response.completed"
    )


def test_a_long_response_goes_on_from_any_number(client: OpenAI) -> None:
    """Text that is merged for a slow reader has the same numbers as text that is not."""
    steps = doing({"tokens": 300}, TOOL, {"tokens": 200})
    whole = list(client.responses.create(model="any", input=hi(), stream=True, extra_body=steps))
    assert whole[0].type == "response.created"
    response_id = whole[0].response.id
    text = text_after(whole, -1)
    assert text == "".join(f"w{n} " for count in (300, 200) for n in range(1, count + 1))
    for event in whole[: -1 : len(whole) // 6]:
        after = event.sequence_number
        rest = client.responses.retrieve(response_id, stream=True, starting_after=after)
        told = list(rest)
        assert text_after(whole, after) == text_after(told, after)
        assert told[-1].sequence_number == whole[-1].sequence_number


def test_a_cut_stream_is_read_on(client: OpenAI) -> None:
    """Who comes back in time, on any worker, gets the rest of the running response once."""
    steps = doing({"tokens": 5}, {"wait": 1}, {"text": "end"})
    stream = client.responses.create(model="any", input=hi(), stream=True, extra_body=steps)
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta" and event.delta == "w3 ":
            break
    stream.close()
    assert seen[0].type == "response.created"
    response_id = seen[0].response.id
    rest = client.responses.retrieve(
        response_id, stream=True, starting_after=seen[-1].sequence_number
    )
    seen += list(rest)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    texts = [event.delta for event in seen if event.type == "response.output_text.delta"]
    assert texts == ["w1 ", "w2 ", "w3 ", "w4 ", "w5 ", "end"]


def test_a_conversation_goes_on(client: OpenAI) -> None:
    """The next turn knows the one before; only the newest response can be gone on from."""
    first = respond(client, {"text": "one"}, input="a")
    steps = ({"tell": "history"}, {"tell": "metadata"})
    second = respond(
        client, *steps, previous_response_id=first.id, input="b", instructions="In French."
    ).output_text
    assert '{"role": "user", "content": "a"}, {"role": "assistant", "content": "one"}' in second
    assert '"instructions": "In French."' in second
    assert respond(client, previous_response_id=first.id, input="b", extra_headers=RETRY).id
    with pytest.raises(openai.BadRequestError, match="has gone on") as stale:
        respond(client, previous_response_id=first.id)
    assert stale.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError, match="no such response"):
        respond(client, previous_response_id="resp_unknown")


def test_a_busy_conversation_refuses_at_once(server: Gunicorn, client: OpenAI) -> None:
    """While a response runs its conversation takes no other turn, and the SDK does not insist."""
    started = turns_started(server)
    running = respond(client, HOLD, background=True)
    with pytest.raises(openai.ConflictError, match="waits for the output") as busy:
        respond(client, previous_response_id=running.id)
    assert busy.value.code == "session_busy"
    assert busy.value.response.request.headers["x-stainless-retry-count"] == "0"
    client.responses.cancel(running.id)
    assert turns_started(server) == started + 1


def test_a_background_response_needs_no_reader(client: OpenAI) -> None:
    """It is queued at once, runs on by itself, and is there when it has ended."""
    made = respond(client, {"tokens": 3, "pause": 0.2}, background=True)
    assert (made.status, made.background, made.output) == ("queued", True, [])

    def ended() -> Response | None:
        found = client.responses.retrieve(made.id)
        return found if found.status not in ("queued", "in_progress") else None

    done = wait_for(ended, "the response has ended")
    assert done is not None
    assert (done.status, done.output_text, done.id) == ("completed", "w1 w2 w3 ", made.id)
    with pytest.raises(openai.BadRequestError, match="has ended already"):
        client.responses.cancel(made.id)


def test_a_response_is_cancelled_on_any_worker(client: OpenAI) -> None:
    """A cancel ends the turn and its readers' streams, and may be repeated."""
    made = respond(client, {"text": "x"}, HOLD, background=True)
    stream = client.responses.retrieve(made.id, stream=True)
    next(event for event in stream if event.type == "response.output_text.delta")
    for _ in range(2):
        assert client.responses.cancel(made.id).status == "cancelled"
    last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "cancelled"


def test_a_deleted_response_is_gone(server: Gunicorn, client: OpenAI) -> None:
    """The newest response takes its conversation along; another tenant has none of it."""
    first = respond(client)
    second = respond(client, previous_response_id=first.id)
    with new_client(server.url, "other") as stranger, pytest.raises(openai.NotFoundError):
        stranger.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError, match="has gone on"):
        client.responses.delete(first.id)
    client.responses.delete(second.id)
    for response in (first, second):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(response.id)


@pytest.mark.slow
def test_an_answer_may_come_before_the_question_is_stored() -> None:
    """On another worker it waits for the question that its client has seen already."""
    with openai_host("tests.support.apps:late_journal") as server, new_client(server.url) as client:
        for _ in range(5):  # on either worker, by chance
            first = respond(client, {"ask": "Which colour?"}, {"text": "."})
            call = open_call(first)
            output: Any = [
                {"type": "function_call_output", "call_id": call.call_id, "output": "blue"}
            ]
            second = client.responses.create(
                model="any", previous_response_id=first.id, input=output
            )
            assert second.output_text == "blue."


def test_a_question_is_answered_by_the_next_request(server: Gunicorn, client: OpenAI) -> None:
    """It is an open call; its output goes on with the same turn, once."""
    started = turns_started(server)
    first = respond(client, {"text": "Well."}, {"ask": "Which colour?"}, {"text": "."})
    call = open_call(first)
    assert (first.status, call.name, call.arguments) == (
        *("completed", "ask_user"),
        '{"prompt":"Which colour?"}',
    )
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "blue"}]
    with client.responses.stream(
        model="any", previous_response_id=first.id, input=output
    ) as stream:
        second = stream.get_final_response()
    assert second.output_text == "blue."
    for response in (first, second):
        found = client.responses.retrieve(response.id)
        assert [item.id for item in found.output] == [item.id for item in response.output]
    with pytest.raises(openai.ConflictError) as late:
        client.responses.create(model="any", previous_response_id=first.id, input=output)
    assert late.value.code == "no_pending_input"
    again = client.responses.create(
        model="any", previous_response_id=first.id, input=output, extra_headers=RETRY
    )
    assert again.output_text == "blue."
    assert turns_started(server) == started + 1
    third = respond(client, {"text": "on"}, previous_response_id=second.id)
    assert third.output_text == "on"
