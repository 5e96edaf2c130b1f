"""Questions, stateless requests and cancels of the agent as an MCP server."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest

from tests.mcp.client import McpClient, ask, read, result_of, texts
from tests.support.client import new_session
from tests.support.reading import observed, wait_observed
from tests.support.servers import Gunicorn
from tests.support.sse import Frame
from wsgi_app.wires.mcp.request import (
    CAPABILITIES_KEY,
    STATELESS_VERSION,
    VERSION_KEY,
)

YES_OR_NO: Final = {"prompt": "Go on?", "schema": {"type": "boolean"}}

FORM: Final = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "colour": {"type": "string"}},
}


def answer_to(asked: dict[str, Any], **content: Any) -> dict[str, Any]:
    """A user's answer to a question in a stream."""
    result = {"action": "accept", "content": content}
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


def test_questions_are_answered_on_any_worker(client: McpClient) -> None:
    """The form comes in the call's stream, and the answer by a request to whichever worker."""
    headers = client.initialize(elicits=True)
    for number in range(8):
        steps = ({"text": "Well. "}, {"ask": "Which colour?"}, {"form": YES_OR_NO})
        frames: list[Frame] = []
        with client.open(ask(*steps, number=number), headers) as stream:
            for frame in stream:
                frames.append(frame)
                if frame.data.get("method") == "elicitation/create":
                    is_first = frame.data["params"]["message"] == "Which colour?"
                    value = "blue" if is_first else True
                    assert client.post(answer_to(frame.data, answer=value), headers).status == 202
        asked = [one.data["params"]["requestedSchema"]["properties"] for one in frames[:2]]
        assert asked == [{"answer": {"type": "string"}}, {"answer": {"type": "boolean"}}]
        assert result_of(frames)["structuredContent"]["reply"] == "Well. bluetrue"


@pytest.mark.parametrize("action", ["decline", "cancel"])
def test_a_question_declined_is_a_no(client: McpClient, action: str) -> None:
    """Who declines, or closes the form, has not said yes."""
    headers = client.initialize(elicits=True)
    with client.open(ask({"form": YES_OR_NO}), headers) as stream:
        asked = stream.next()
        assert asked
        message = {"jsonrpc": "2.0", "id": asked.data["id"], "result": {"action": action}}
        assert client.post(message, headers).status == 202
        # Said twice, it is too late, which nobody needs to know.
        assert client.post(message, headers).status == 202
        frames = list(stream)
    assert result_of(frames)["structuredContent"]["reply"] == "false"


def test_a_form_is_shown_as_it_is(client: McpClient) -> None:
    """A schema of plain fields is the client's form, and its fields are the answer."""
    headers = client.initialize(elicits=True)
    form = {"prompt": "Which?", "schema": {**FORM, "x-mine": 1}}
    with client.open(ask({"form": form}), headers) as stream:
        asked = stream.next()
        assert asked
        assert asked.data["params"] == {"message": "Which?", "requestedSchema": FORM}
        client.post(answer_to(asked.data, size=3, colour="red"), headers)
        assert json.loads(result_of(list(stream))["structuredContent"]["reply"]) == {
            "size": 3,
            "colour": "red",
        }


def test_who_shows_no_forms_is_told_how_to_answer(client: McpClient) -> None:
    """The result says what is asked; the next call of that session is the answer."""
    headers, session = client.initialize(), new_session()
    steps = ({"text": "Well. "}, {"ask": "Which colour?"}, {"form": YES_OR_NO})
    first = result_of(read(client.post(ask(*steps, session=session, number=1), headers)))
    assert first["structuredContent"] == {
        "session": session,
        "turn_id": "1",
        "status": "input_required",
        "reply": "Well. ",
        "question": {"prompt": "Which colour?"},
    }
    assert "isError" not in first
    assert first["content"][1]["text"] == "Which colour?"
    second = result_of(read(client.post(ask("blue", session=session, number=2), headers)))
    assert second["structuredContent"]["question"]["schema"] == {"type": "boolean"}
    last = result_of(read(client.post(ask("yes", session=session, number=3), headers)))
    assert last["structuredContent"]["reply"] == 'Well. blue"yes"'


def stateless(message: dict[str, Any], *, elicits: bool = True) -> tuple[Any, dict[str, str]]:
    """A request of the version without a handshake, and its headers."""
    capabilities: dict[str, Any] = {"elicitation": {}} if elicits else {}
    meta = {VERSION_KEY: STATELESS_VERSION, CAPABILITIES_KEY: capabilities}
    message["params"]["_meta"] = {**message["params"].get("_meta", {}), **meta}
    headers = {"MCP-Protocol-Version": STATELESS_VERSION, "Mcp-Method": message["method"]}
    if "name" in message["params"]:
        headers["Mcp-Name"] = message["params"]["name"]
    return message, headers


def test_a_stateless_call_ends_at_its_question(client: McpClient) -> None:
    """Its result asks, and the call that brings the answer back goes on; once more, the same."""
    steps = ({"text": "Well. "}, {"ask": "Which colour?"}, {"wait": 0.2}, {"text": "."})
    first = result_of(read(client.post(*stateless(ask(*steps)))))
    assert first["resultType"] == "input_required"
    assert first["inputRequests"]["question"]["params"]["message"] == "Which colour?"
    message = ask(*steps, progressToken="p")
    message["params"]["requestState"] = first["requestState"]
    # Without an answer it asks again.
    again = result_of(read(client.post(*stateless(json.loads(json.dumps(message))))))
    assert again == first
    answer = {"action": "accept", "content": {"answer": "blue"}}
    message["params"]["inputResponses"] = {"question": answer}
    for _ in range(2):
        frames = read(client.post(*stateless(json.loads(json.dumps(message)))))
        assert texts(frames) == ["blue", "."]
        assert result_of(frames)["structuredContent"]["reply"] == "Well. blue."


def test_a_state_is_its_servers_and_its_tenants(client: McpClient, server: Gunicorn) -> None:
    """What was changed, or is another tenant's, is refused by the protocol's code."""
    first = result_of(read(client.post(*stateless(ask({"ask": "Which?"})))))
    stranger = McpClient(server, "other")
    for sender, state in ((client, first["requestState"] + "x"), (stranger, first["requestState"])):
        message = ask("x")
        message["params"]["requestState"] = state
        refused = sender.post(*stateless(message))
        assert (refused.status, refused.json["error"]["code"]) == (400, -32602)


def test_a_stateless_client_that_hangs_up_has_cancelled(
    client: McpClient, server: Gunicorn
) -> None:
    """It has no other way to say so: its turn ends after the time that a cut may take."""
    session = new_session()
    message, headers = stateless(ask({"hold": 1}, session=session))
    with client.open(message, headers) as stream:
        wait_observed(server, "started", session)
        left_at = time.monotonic()
        stream.abort()
    assert wait_observed(server, "cancelled", session, 15) - left_at < 8


def test_a_call_is_cancelled_by_a_notification_on_any_worker(
    client: McpClient, server: Gunicorn
) -> None:
    """It ends the turn of its own call alone, also in a session that the client named."""
    headers = client.initialize()
    for number in range(6):
        sessions = [new_session(), new_session()]
        messages = [
            ask({"hold": 1}, session=session, number=2 * number + position)
            for position, session in enumerate(sessions)
        ]
        with client.open(messages[0], headers) as one, client.open(messages[1], headers) as other:
            for session in sessions:
                wait_observed(server, "started", session)
            assert client.cancel_call(headers, 2 * number).status == 202
            result = result_of(list(one))
            assert (result["isError"], result["structuredContent"]["status"]) == (True, "cancelled")
            assert observed(server, "cancelled", sessions[1]) == []
            assert client.cancel_call(headers, 2 * number + 1).status == 202
            assert result_of(list(other))["isError"] is True


def test_nobody_cancels_anothers_call(client: McpClient, server: Gunicorn) -> None:
    """Not another tenant, nor another session, nor a token without that right."""
    headers, session = client.initialize(), new_session()
    with client.open(ask({"hold": 1}, session=session), headers) as stream:
        wait_observed(server, "started", session)
        assert McpClient(server, "other").cancel_call(headers, 1).status == 202
        assert client.cancel_call(client.initialize(), 1).status == 202
        assert client.cancel_call({}, 1).status == 202
        assert McpClient(server, "chatter").cancel_call(headers, 1).status == 403
        assert observed(server, "cancelled", session) == []
        client.cancel_call(headers, 1)
        assert result_of(list(stream))["isError"] is True
