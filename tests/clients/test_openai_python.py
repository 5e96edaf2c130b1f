"""The openai package for Python, as it is, with the agent as its model."""

from __future__ import annotations

import json
import secrets
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

from tests.cli.cutting import cutting_proxy
from tests.clients.openai_host import doing, new_client, openai_host, turns_started
from tests.support.reading import observed, wait_observed
from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for

TOOL = {"tool": {"name": "add", "input": {"a": 2}, "output": {"sum": 5}}}
STEPS = ({"events": ["status", "thinking"]}, {"text": "Hel"}, TOOL, {"text": "lo"}, {"usage": 3})
HOLD = {"hold": 1}
#: What the SDK sends along when it sends a request again.
RETRY = {"x-stainless-retry-count": "1"}


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


def hi() -> Any:
    """Messages that no other test sends."""
    return [{"role": "user", "content": f"hi {secrets.token_hex(4)}"}]


def respond(client: OpenAI, *steps: dict[str, Any], **fields: Any) -> Response:
    """A response of a turn that does ``steps``."""
    fields = {"input": hi(), "extra_body": doing(*steps), **fields}
    made: Response = client.responses.create(model="any", **fields)
    return made


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


def test_the_agent_is_the_one_model(client: OpenAI) -> None:
    """It is listed and found under its name, and no other is."""
    assert [model.id for model in client.models.list()] == ["agent"]
    assert client.models.retrieve("agent").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt/other")


def test_a_completion_in_one_piece(client: OpenAI) -> None:
    """Text, end and token counts; tools stay inside."""
    made = client.chat.completions.create(model="any", messages=hi(), extra_body=doing(*STEPS))
    (choice,) = made.choices
    assert (choice.message.content, choice.finish_reason) == ("Hello", "stop")
    assert choice.message.tool_calls is None
    assert choice.message.model_extra == {"reasoning_content": "hm"}
    assert made.usage is not None
    assert made.usage.total_tokens == 6


def test_a_completion_streams(client: OpenAI) -> None:
    """Each token is a chunk, the counts stand in the last one, and the helper puts it together."""
    chunks = list(
        client.chat.completions.create(
            model="any",
            messages=hi(),
            stream=True,
            stream_options={"include_usage": True},
            extra_body=doing(*STEPS),
        )
    )
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == ["", None, "Hel", "lo", None]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    with client.chat.completions.stream(
        model="any", messages=hi(), extra_body=doing(*STEPS)
    ) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Hello"


def test_a_completion_brings_its_history(client: OpenAI) -> None:
    """The agent gets the messages before the last one, instructions too, and nothing else."""
    before: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
    ]
    made = client.chat.completions.create(
        model="any", messages=before + hi(), extra_body=doing({"tell": "history"})
    )
    assert made.choices[0].message.content == (
        '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"},'
        ' {"role": "assistant", "content": "two"}]'
    )


def test_a_question_is_the_end_of_a_completion(server: Gunicorn, client: OpenAI) -> None:
    """Its prompt is the text's end, for the user to answer with the next message."""
    steps = ({"text": "Well."}, {"ask": "Which colour?"}, {"text": "never"})
    raw = client.chat.completions.with_raw_response.create(
        model="any", messages=hi(), extra_body=doing(*steps)
    )
    choice = raw.parse().choices[0]
    assert choice.message.content == "Well.\n\nWhich colour?"
    assert choice.finish_reason == "stop"
    wait_observed(server, "closed", raw.headers["x-session-id"])


def test_refusals_come_as_the_sdks_own_errors(server: Gunicorn, client: OpenAI) -> None:
    """A refusal has the SDK's class, message, code and field, and begins no turn."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    started = turns_started(server)
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": [image]}],  # type: ignore[list-item,misc] # what is tested
        )
    assert bad.value.param == "messages.0.content.0"
    assert "text alone" in bad.value.message
    with (
        new_client(server.url, "wrong") as stranger,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        stranger.chat.completions.create(model="any", messages=hi())
    assert unknown.value.code == "unauthorized"
    assert turns_started(server) == started


def test_a_failed_turn_is_not_tried_again(server: Gunicorn, client: OpenAI) -> None:
    """A turn's error reaches the caller, streamed or whole, after exactly one turn."""
    started = turns_started(server)
    steps = doing({"text": "x"}, {"raise": "UpstreamError"})
    with pytest.raises(openai.InternalServerError) as whole:
        client.chat.completions.create(model="any", messages=hi(), extra_body=steps)
    assert whole.value.code == "upstream_error"
    with pytest.raises(openai.InternalServerError):
        respond(client, {"raise": "UpstreamError"})
    stream = client.chat.completions.create(
        model="any", messages=hi(), extra_body=steps, stream=True
    )
    with pytest.raises(openai.APIError, match=r"The model provider failed\.") as streamed:
        list(stream)
    assert streamed.value.code == "upstream_error"
    assert turns_started(server) == started + 3


def test_a_closed_stream_cancels_its_turn(server: Gunicorn, client: OpenAI) -> None:
    """A client that closes its stream has the turn cancelled, when nobody has come back."""
    stream = client.chat.completions.create(
        model="any", messages=hi(), stream=True, extra_body=doing({"text": "x"}, HOLD)
    )
    session = stream.response.headers["x-session-id"]
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert observed(server, "cancelled", session) == []
    stream.close()
    wait_observed(server, "cancelled", session)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_dropped_request_runs_one_turn(server: Gunicorn, api: str, *, stream: bool) -> None:
    """When the answer is lost before its first byte, the SDK's next try gets the same turn's."""
    started = turns_started(server)
    fields: Any = {"model": "any", "stream": stream, "extra_body": doing({"text": "once"})}
    with cutting_proxy(server.port, 0) as proxy, new_client(proxy.url) as client:
        if api == "chat":
            made: Any = client.chat.completions.create(messages=hi(), **fields)
            last = list(made)[-1] if stream else made
            assert last.choices[0].finish_reason == "stop"
        else:
            made = client.responses.create(input=hi(), **fields)
            last = list(made)[-1].response if stream else made
            assert last.output_text == "once"
    assert turns_started(server) == started + 1


def test_a_request_that_was_given_up_runs_again(server: Gunicorn, client: OpenAI) -> None:
    """A late try does not get the turn that was cancelled for want of a reader."""
    started = turns_started(server)
    fields: Any = {"model": "any", "messages": hi(), "extra_body": doing({"text": "x"}, HOLD)}
    stream = client.chat.completions.create(stream=True, **fields)
    stream.close()
    wait_observed(server, "cancelled", stream.response.headers["x-session-id"])
    again = client.chat.completions.create(stream=True, extra_headers=RETRY, **fields)
    next(chunk for chunk in again if chunk.choices[0].delta.content == "x")
    again.close()
    assert turns_started(server) == started + 2


def test_equal_requests_run_turns_of_their_own(server: Gunicorn, client: OpenAI) -> None:
    """Only what the SDK itself repeats is taken for a repetition."""
    started = turns_started(server)
    messages = hi()
    fields: Any = {"model": "any", "messages": messages, "extra_body": doing({"wait": 0.3})}
    streams = [client.chat.completions.create(stream=True, **fields) for _ in range(3)]
    for stream in streams:
        list(stream)
    client.chat.completions.create(**fields)
    first, second = (respond(client, {"tell": "history"}, input=messages) for _ in range(2))
    assert first.output_text == second.output_text == "[]"
    assert turns_started(server) == started + 6


def test_an_idempotency_key_finds_its_turn(server: Gunicorn, client: OpenAI) -> None:
    """A caller's own key attaches an equal request to its turn, and refuses another one."""
    started = turns_started(server)
    key = {"Idempotency-Key": secrets.token_hex(8)}
    fields: Any = {"model": "any", "messages": hi(), "extra_headers": key}
    ids = {client.chat.completions.create(**fields).id for _ in range(2)}
    assert len(ids) == 1
    assert turns_started(server) == started + 1
    with pytest.raises(openai.BadRequestError) as reused:
        client.chat.completions.create(**{**fields, "messages": hi()})
    assert reused.value.code == "idempotency_key_reused"


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


def test_a_call_of_the_hosts_is_told_to_every_client(client: OpenAI) -> None:
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
