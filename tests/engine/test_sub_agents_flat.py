"""Wires that know no sub-agents: a turn that has some is valid, and its text is the turn's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.a2a.client import A2aClient, say, text_of
from tests.mcp.client import McpClient, ask, read, result_of
from tests.support.client import Answer, new_session
from tests.support.contract import Contract
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn

TOOL: Final = {"tool": {"name": "add", "input": {"a": 1}, "output": {"sum": 2}}}
READER: Final = {"name": "reader", "steps": [{"text": "hidden deep "}]}
FINDER: Final = {
    "name": "finder",
    "steps": [
        *({"text": "hidden "}, {"events": ["thinking", "status"]}, TOOL),
        *({"child": READER}, {"tokens": 3}),
    ],
}
STEPS: Final = [{"text": "It "}, {"child": FINDER}, {"text": "is "}, {"text": "so."}]
MESSAGE: Final = json.dumps(STEPS)
SAID: Final = {"role": "user", "content": MESSAGE}
TEXT: Final = "It is so."
JSON: Final = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """One worker, with an agent that does what messages say."""
    with gunicorn("tests.support.apps:told_app()", threads=16) as server:
        yield server


@pytest.fixture(scope="module")
def contract(server: Gunicorn) -> Contract:
    """What the host says of its answers."""
    return Contract(ReadingClient(server).call("GET", "/openapi.json").json)


def frames_of(answer: Answer) -> list[dict[str, Any]]:
    """The data of a stream's frames."""
    lines = answer.body.decode().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(one) for one in data if one != "[DONE]"]


def of_kind(kind: str, field: str) -> Callable[[Answer], str]:
    """Reads the text of a stream: a field of the frames of a type."""
    return lambda answer: "".join(
        frame[field] for frame in frames_of(answer) if frame.get("type") == kind
    )


def of_chunks(answer: Answer) -> str:
    """Reads the text of chat completions' chunks."""
    choices = [choice for frame in frames_of(answer) for choice in frame["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def of_response(answer: Answer) -> str:
    """Reads the text of a response."""
    messages = [item for item in answer.json["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


def chat(**more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": "m", "messages": [SAID], **more}


def ui(**more: Any) -> dict[str, Any]:
    """The body of the AI SDK's."""
    part = {"type": "text", "text": MESSAGE}
    return {"id": new_session(), "messages": [{"id": "m", "role": "user", "parts": [part]}], **more}


Row = tuple[str, Callable[[], dict[str, Any]], dict[str, str], Callable[[Answer], str]]
WIRES: Final[dict[str, Row]] = {
    "native, as JSON": (
        *("/chat", lambda: {"message": MESSAGE}, JSON),
        lambda answer: answer.json["reply"],
    ),
    "agentflow": (
        *("/chat?wire=agentflow", lambda: {"message": MESSAGE}, {}),
        of_kind("message_chunk", "content"),
    ),
    "chat completions": ("/v1/chat/completions", lambda: chat(stream=True), {}, of_chunks),
    "chat completions, as JSON": (
        *("/v1/chat/completions", chat, {}),
        lambda answer: answer.json["choices"][0]["message"]["content"],
    ),
    "responses": (
        *("/v1/responses", lambda: {"model": "m", "input": MESSAGE, "stream": True}, {}),
        of_kind("response.output_text.delta", "delta"),
    ),
    "responses, as JSON": (
        *("/v1/responses", lambda: {"model": "m", "input": MESSAGE}, {}),
        of_response,
    ),
    "ai sdk": ("/ai-sdk/chat", ui, {}, of_kind("text-delta", "delta")),
    "ag-ui before 1.0": (
        "/ag-ui",
        lambda: {"threadId": new_session(), "runId": new_session(), "messages": [SAID]},
        {},
        of_kind("TEXT_MESSAGE_CONTENT", "delta"),
    ),
}


@pytest.mark.parametrize("wire", WIRES)
def test_the_answer_is_the_turns_own(server: Gunicorn, contract: Contract, wire: str) -> None:
    """What the host's document says of it holds, and no sub-agent's text is in the answer."""
    path, make, headers, text = WIRES[wire]
    answer = ReadingClient(server).call("POST", path, make(), headers=headers)
    contract.check(contract.operation("POST", path), answer.status, answer.headers, answer.body)
    assert text(answer) == TEXT


def test_an_mcp_call_gives_the_turns_own(server: Gunicorn) -> None:
    """The result of the call is the reply."""
    client = McpClient(server)
    result = result_of(read(client.post(ask(*STEPS), client.initialize())))
    assert result["structuredContent"]["reply"] == TEXT
    assert result["content"][0]["text"] == TEXT


def test_an_a2a_task_gives_the_turns_own(server: Gunicorn) -> None:
    """The artifact of the task is the reply."""
    task = A2aClient(server).send(say(*STEPS))
    assert [text_of(one) for one in task["artifacts"]] == [TEXT]
