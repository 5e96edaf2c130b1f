"""Clients of the Responses API that send the conversation each time, and items by their ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from agents import Agent, ModelSettings, Runner, function_tool
from agents.models.openai_responses import OpenAIResponsesModel
from agents.run import RunConfig
from openai import AsyncOpenAI, OpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticModel
from pydantic_ai.models.openai import OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.openai_host import doing, new_client, openai_host
from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN

ASKING = doing({"text": "Well. "}, {"ask": "Which colour?"}, {"text": "."})
TOOL = {"tool": {"name": "add", "input": {"a": 2}, "output": {"sum": 5}}}


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


def user(text: str) -> dict[str, Any]:
    """A message of the user's."""
    return {"role": "user", "content": text}


def heard(client: OpenAI, items: list[Any]) -> list[dict[str, Any]]:
    """The history that the agent gets of a request with these items."""
    asked: Any = [*items, user("and?")]
    made = client.responses.create(model="any", input=asked, extra_body=doing({"tell": "history"}))
    history: list[dict[str, Any]] = json.loads(made.output_text)
    for message in history:
        # The host gives calls ids that any provider takes.
        for holder in (message, *message.get("tool_calls", ())):
            for name in {"tool_call_id", "id"} & set(holder):
                holder[name] = "call"
    return history


def test_items_are_found_by_their_ids(client: OpenAI) -> None:
    """Texts and calls of an earlier response, on any worker, with the type named or left out."""
    first = client.responses.create(
        model="any", input="one", extra_body=doing({"text": "Hel"}, TOOL, {"text": "lo"})
    )
    named = [{"type": "item_reference", "id": item.id} for item in first.output]
    expected = [
        user("one"),
        {"role": "assistant", "content": "Hel"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a":2}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call", "content": '{"sum":5}'},
        {"role": "assistant", "content": "lo"},
    ]
    for references in (named, [{"id": reference["id"]} for reference in named]):
        for _ in range(2):  # on either worker
            assert heard(client, [user("one"), *references]) == expected


def test_an_unknown_item_is_refused_by_its_place(server: Gunicorn, client: OpenAI) -> None:
    """So is one of another tenant, of a deleted response, and what is no id of ours."""
    mine = client.responses.create(model="any", input="mine", extra_body=doing({"text": "secret"}))
    item = str(mine.output[0].id)
    other = f"{item[:-1]}7"
    with new_client(server.url, "other") as stranger:
        for asker, name in ((stranger, item), (client, other), (client, "msg_1"), (client, "")):
            with pytest.raises(openai.BadRequestError) as refused:
                heard(asker, [user("one"), {"type": "item_reference", "id": name}])
            assert refused.value.param == "input.1"
            assert "no such item" in refused.value.message
    client.responses.delete(mine.id)
    with pytest.raises(openai.BadRequestError):
        heard(client, [user("one"), {"type": "item_reference", "id": item}])


def test_a_question_is_answered_by_its_call_alone(client: OpenAI) -> None:
    """The waiting turn goes on, once, though no earlier response is named."""
    for _ in range(4):  # on either worker
        first = client.responses.create(model="any", input="hi", extra_body=ASKING)
        call = first.output[-1]
        assert call.type == "function_call"
        items: list[Any] = [
            user("hi"),
            first.output[0].model_dump(),
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": call.call_id, "output": "blue"},
        ]
        second = client.responses.create(model="any", input=items)
        assert second.output_text == "blue."
        with pytest.raises(openai.ConflictError) as late:
            client.responses.create(model="any", input=items)
        assert late.value.code == "no_pending_input"


def test_nobody_answers_another_tenants_question(server: Gunicorn, client: OpenAI) -> None:
    """To a stranger the call's id means nothing; its asker's answer counts afterwards."""
    first = client.responses.create(model="any", input="hi", extra_body=ASKING)
    call = first.output[-1]
    assert call.type == "function_call"
    output: list[Any] = [{"type": "function_call_output", "call_id": call.call_id, "output": "red"}]
    with new_client(server.url, "other") as stranger, pytest.raises(openai.BadRequestError):
        stranger.responses.create(model="any", input=output)
    output[0]["output"] = "blue"
    assert client.responses.create(model="any", input=output).output_text == "blue."


def test_a_question_has_counts_and_a_document_what_was_asked(client: OpenAI) -> None:
    """Clients read the counts without a look; the request's fields come back as they were."""
    tools: list[Any] = [{"type": "function", "name": "f", "parameters": {}, "strict": True}]
    made = client.responses.create(
        model="any",
        input="hi",
        instructions="Be brief.",
        tools=tools,
        tool_choice="none",
        extra_body={"metadata": {"steps": [{"ask": "?"}], "origin": "page"}},
    )
    assert made.usage is not None
    assert made.usage.total_tokens == 0
    assert (made.instructions, made.tool_choice) == ("Be brief.", "none")
    assert made.metadata == {"origin": "page"}
    assert made.tools[0].type == "function"
    chat = client.chat.completions.create(model="any", messages=[user("hi")], extra_body=ASKING)  # type: ignore[list-item] # a message
    assert chat.usage is not None


def test_an_error_that_will_come_again_is_not_called_the_servers(client: OpenAI) -> None:
    """Clients (opencode, Codex) repeat what is called so, whatever the turn had done."""
    for raised, kind, code in (
        ("UpstreamError", "server_error", "server_error"),
        ("TurnError", "invalid_request_error", "invalid_prompt"),
    ):
        failing = doing({"text": "a"}, {"raise": raised})
        with pytest.raises(openai.APIError) as failed:
            for _ in client.chat.completions.create(
                model="any",
                messages=[user("hi")],  # type: ignore[list-item] # a message
                stream=True,
                extra_body=failing,
            ):
                pass
        assert failed.value.type == kind
        events = list(
            client.responses.create(model="any", input="hi", stream=True, extra_body=failing)
        )
        assert events[-1].type == "response.failed"
        assert events[-1].response.error is not None
        assert events[-1].response.error.code == code


def test_what_is_no_route_is_refused_in_openais_words(client: OpenAI) -> None:
    """Below /v1 an unknown path and a wrong method come as the SDK's own errors."""
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="any", input="x")
    assert (unknown.value.code, unknown.value.type) == ("not_found", "invalid_request_error")
    with pytest.raises(openai.APIStatusError) as wrong:
        client.get("/chat/completions", cast_to=object)
    assert (wrong.value.status_code, wrong.value.code) == (405, "method_not_allowed")


@function_tool
def ask_user(prompt: str) -> str:
    """Ask the user."""
    return f"blue, not {prompt}"


def test_the_agents_sdk_answers_without_a_previous_id(server: Gunicorn) -> None:
    """It runs its own tool for the open call, and sends all items once more."""

    async def run() -> str:
        client = AsyncOpenAI(base_url=f"{server.url}/agents/v1", api_key=DEVELOPMENT_TOKEN)
        agent = Agent[None](
            name="caller",
            model=OpenAIResponsesModel(model="agent", openai_client=client),
            model_settings=ModelSettings(extra_body=ASKING),
            tools=[ask_user],
        )
        done = await Runner.run(agent, "hi", run_config=RunConfig(tracing_disabled=True))
        await client.close()
        return str(done.final_output)

    assert asyncio.run(run()) == "blue, not Which colour?."


def test_pydantic_ai_answers_without_a_previous_id(server: Gunicorn) -> None:
    """It runs its own tool for the open call, and sends all messages once more."""

    async def run() -> str:
        url = f"{server.url}/agents/v1"
        async with AsyncOpenAI(base_url=url, api_key=DEVELOPMENT_TOKEN) as client:
            model = PydanticModel("agent", provider=OpenAIProvider(openai_client=client))
            settings = OpenAIResponsesModelSettings(extra_body=ASKING)
            agent = PydanticAgent(model, model_settings=settings)

            @agent.tool_plain(name="ask_user")
            def ask(prompt: str) -> str:
                """Ask the user."""
                return f"blue, not {prompt}"

            return (await agent.run("hi")).output

    assert asyncio.run(run()) == "blue, not Which colour?."
