"""The openai package for Python, as it is, with the agent as its model: chat completions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.cli.cutting import cutting_proxy
from tests.clients.openai_host import doing, new_client, openai_host, turns_started
from tests.clients.openai_turns import HOLD, RETRY, STEPS, hi, respond
from tests.support.reading import observed, wait_observed
from tests.support.servers import Gunicorn


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
