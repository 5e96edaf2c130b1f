"""The agent as an MCP server: what goes over the network, on two workers with one store."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.support.client import Answer, new_session
from tests.support.reading import ReadingClient, observed, wait_observed
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.sse import Frame, Stream, StreamCutError
from tests.support.waiting import wait_for
from wsgi_app.wires.mcp.request import (
    CAPABILITIES_KEY,
    HANDSHAKE_VERSIONS,
    STATELESS_VERSION,
    VERSION_KEY,
    StreamPosition,
)

TURNS: Final = 100
TOKENS: Final = 60
STEPS: Final = ({"tokens": TOKENS, "pause": 0.004},)
REPLY: Final = "".join(f"w{number} " for number in range(1, TOKENS + 1))
#: Its streams begin with no event that has no data.
VERSION: Final = "2025-06-18"
BOTH: Final = "application/json, text/event-stream"
YES_OR_NO: Final = {"prompt": "Go on?", "schema": {"type": "boolean"}}
FORM: Final = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "colour": {"type": "string"}},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a store, and two tenants."""
    with redis_server() as store:
        tokens = "dev=acme,admin=acme scopes=read+admin,other=else,chatter=acme scopes=chat"
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": tokens,
            "AGENT_RATE_LIMIT": "100000/minute",
        }
        with gunicorn("tests.support.apps:told_app()", workers=2, threads=24, env=env) as server:
            yield server


class McpClient(ReadingClient):
    """A client of the protocol, as bare as one can be. Used by any thread."""

    def post(self, message: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a message and read the whole answer."""
        return self.call("POST", "/mcp", message, headers={"Accept": BOTH, **(headers or {})})

    def initialize(self, *, elicits: bool = False) -> dict[str, str]:
        """Begin a session; returns the headers of its requests."""
        capabilities: dict[str, Any] = {"elicitation": {}} if elicits else {}
        params = {"protocolVersion": VERSION, "capabilities": capabilities}
        answer = self.post(request("initialize", params))
        assert answer.json["result"]["protocolVersion"] == VERSION
        session = answer.headers["Mcp-Session-Id"]
        return {"Mcp-Session-Id": session, "MCP-Protocol-Version": VERSION}

    def open(self, message: object, headers: Mapping[str, str]) -> Stream:
        """Send a request and read its stream."""
        return self.stream("POST", "/mcp", message, headers={"Accept": BOTH, **headers})

    def read(self, message: object, headers: Mapping[str, str]) -> list[Frame]:
        """Send a request and read its stream to its end."""
        with self.open(message, headers) as stream:
            return list(stream)

    def resume(self, position: str) -> Stream:
        """Go on with a stream."""
        return self.stream("GET", "/mcp", headers={"Accept": BOTH, "Last-Event-ID": position})

    def cancel_call(self, headers: Mapping[str, str], request_id: int) -> Answer:
        """Cancel a request."""
        params = {"requestId": request_id}
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        return self.post(message, headers)


@pytest.fixture
def client(server: Gunicorn) -> McpClient:
    """A tenant's client."""
    return McpClient(server)


def request(method: str, params: Any = None, request_id: int = 1) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}}


def ask(*steps: Any, session: str | None = None, number: int = 1, **meta: Any) -> dict[str, Any]:
    """A call of the tool that has the agent do these steps; one text is said."""
    message = steps[0] if isinstance(steps[0], str) else json.dumps(steps)
    arguments = {"message": message, **({} if session is None else {"session": session})}
    params: dict[str, Any] = {"name": "ask", "arguments": arguments}
    return request("tools/call", params | ({"_meta": meta} if meta else {}), number)


def texts(frames: list[Frame]) -> list[str]:
    """What a stream has told as progress."""
    told = [frame.data for frame in frames]
    return [one["params"]["message"] for one in told if one.get("method", "").endswith("progress")]


def result_of(frames: list[Frame]) -> Any:
    """The result at the end of a stream."""
    return frames[-1].data["result"]


# -- exactness


def read_cut(client: McpClient, headers: Mapping[str, str], chance: random.Random) -> list[Frame]:
    """Read a call's stream to its answer, which is cut at random."""
    frames: list[Frame] = []
    session = new_session()
    message = ask(*STEPS, session=session, number=chance.randrange(1, 2**31), progressToken="p")
    stream = client.open(message, headers)
    while True:
        with stream:
            assert stream.status == 200
            for frame in stream:
                frames.append(frame)
                if chance.random() < 0.06:
                    stream.abort()
                    break
        if frames and "result" in frames[-1].data:
            return frames
        # Cut before the first event, it sends the request again: that attaches to the same turn.
        last = frames[-1].id if frames else None
        stream = client.resume(last) if last else client.open(message, headers)


def test_calls_cut_at_random_lose_and_double_nothing(client: McpClient) -> None:
    """However often and wherever a hundred streams are cut, on any worker, all tokens come once."""
    headers = client.initialize()

    def run(number: int) -> list[Frame]:
        return read_cut(client, headers, random.Random(number))  # noqa: S311 - repeatable cuts

    with ThreadPoolExecutor(8) as pool:
        for frames in pool.map(run, range(TURNS)):
            assert "".join(texts(frames)) == REPLY
            assert result_of(frames)["structuredContent"]["reply"] == REPLY
            progress = [one.data["params"]["progress"] for one in frames[:-1]]
            assert progress == sorted(set(progress))


def test_a_killed_workers_call_ends_with_an_error(client: McpClient, server: Gunicorn) -> None:
    """Its stream is cut; where it goes on, the tokens before the end come once, then the error."""
    headers, session = client.initialize(), new_session()
    message = ask({"tokens": 2000, "pause": 0.01}, session=session, progressToken=7)
    frames: list[Frame] = []
    with client.open(message, headers) as stream:
        frames += [frame for _ in range(20) if (frame := stream.next())]
        os.kill(owner_pid(ReadingClient(server, "admin"), session), signal.SIGKILL)
        with pytest.raises(StreamCutError):
            frames.extend(iter(stream.next, None))
    position = frames[-1].id
    assert position
    with client.resume(position) as stream:
        frames += list(stream)
    assert result_of(frames)["isError"] is True
    assert result_of(frames)["structuredContent"]["error"]["code"] == "worker_lost"
    assert "".join(texts(frames)) == "".join(f"w{n} " for n in range(1, len(texts(frames)) + 1))
    wait_for(lambda: len(server.worker_pids()) == 2, "both workers are there", 30)


def test_a_request_sent_again_is_the_same_call(client: McpClient) -> None:
    """The id of a request in its session is one turn, whoever sends it again; a body of its own."""
    headers = client.initialize()
    message = ask("hello")
    first, again = (client.post(message, headers) for _ in range(2))
    assert result_of(read(first)) == result_of(read(again))
    other = ask("another", number=1)
    refused = result_of(read(client.post(other, headers)))
    assert refused["isError"] is True
    assert refused["structuredContent"]["error"]["code"] == "idempotency_key_reused"


def read(answer: Answer) -> list[Frame]:
    """The one message of a whole answer, of either kind, as a frame."""
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    texts = [line.removeprefix("data: ") for line in lines] or [answer.body.decode()]
    return [Frame(None, None, text, None, 0.0) for text in texts]


# -- questions


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


# -- stateless


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


# -- cancelling


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


# -- refusals


def test_answers_are_json_for_who_takes_no_stream(client: McpClient) -> None:
    """The whole result comes at the end, with a question as text; a stream for all others."""
    message = ask({"text": "one "}, {"wait": 0.1}, {"text": "two"})
    answer = client.post(message, {"Accept": "application/json"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["result"]["structuredContent"]["reply"] == "one two"
    headers = {**client.initialize(elicits=True), "Accept": "application/json"}
    asked = client.post(ask({"ask": "Which?"}, number=2), headers).json["result"]
    assert asked["structuredContent"]["status"] == "input_required"


def test_versions_are_agreed_on(client: McpClient) -> None:
    """The client's own if the server speaks it, else the newest with a handshake."""
    for wanted in (*HANDSHAKE_VERSIONS, "1999-01-01"):
        params: dict[str, Any] = {"protocolVersion": wanted, "capabilities": {}}
        result = client.post(request("initialize", params)).json["result"]
        is_known = wanted in HANDSHAKE_VERSIONS
        assert result["protocolVersion"] == (wanted if is_known else HANDSHAKE_VERSIONS[-1])
    unknown = {"MCP-Protocol-Version": "1999-01-01"}
    assert client.post(request("tools/list"), unknown).status == 400


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (request("resources/list"), 200, -32601),
        (request("tools/call", {"name": "other"}), 400, -32602),
        ([request("ping")], 422, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, 422, -32600),
        ({"jsonrpc": "2.0", "id": "x" * 300, "method": "ping"}, 422, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, 422, -32600),
        ({"jsonrpc": "2.0", "id": 5, "result": {}}, 400, -32600),
    ],
)
def test_what_is_no_request_of_the_protocol(
    client: McpClient, message: Any, status: int, code: int
) -> None:
    """It is refused by the codes of JSON-RPC."""
    refused = client.post(message)
    assert (refused.status, refused.json["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "arguments", [{}, {"message": ""}, {"message": 5}, {"message": "hi", "session": "a/b"}]
)
def test_bad_arguments_are_a_result_that_says_so(client: McpClient, arguments: Any) -> None:
    """A model can mend what it reads there; nothing was begun."""
    params = {"name": "ask", "arguments": arguments}
    result = client.post(request("tools/call", params)).json["result"]
    assert result["isError"] is True
    assert result["structuredContent"]["error"]["code"] == "invalid_request"


def test_a_busy_session_and_a_failed_turn_are_results(client: McpClient) -> None:
    """Errors of the agent and refusals of its host are told as results with isError."""
    headers, session = client.initialize(), new_session()
    failed = result_of(read(client.post(ask({"raise": "TurnError"}, number=5), headers)))
    assert failed["isError"] is True
    assert failed["content"][0]["text"] == "The shop is closed."
    with client.open(ask({"hold": 1}, session=session, number=6), headers):
        wait_observed(client.server, "started", session)
        busy = client.post(ask("hi", session=session, number=7), headers).json["result"]
        assert busy["structuredContent"]["error"]["code"] == "session_busy"
        client.cancel_call(headers, 6)


def test_pages_of_other_origins_are_refused(client: McpClient) -> None:
    """A page may ask its own host alone, and no name that was pointed to this machine."""
    ping = request("ping")
    own = f"http://127.0.0.1:{client.server.port}"
    assert client.post(ping, {"Origin": own}).status == 200
    assert client.post(ping, {"Origin": "http://evil.example"}).status == 403
    rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
    assert client.post(ping, rebound).status == 403
    assert client.call("GET", "/mcp", headers={"Origin": "http://evil.example"}).status == 403


def test_a_stream_is_its_tenants(client: McpClient, server: Gunicorn) -> None:
    """Another's is unknown, like one that never was; so is a session that is none."""
    headers, session = client.initialize(), new_session()
    frames = client.read(ask("hi", session=session, progressToken=1), headers)
    position = frames[0].id
    assert position
    with client.resume(position) as stream:
        assert result_of(list(stream)) == result_of(frames)
    never = str(StreamPosition(new_session(), 1, 0, "", 1, None, "text", stateless=False))
    for sender, where in ((McpClient(server, "other"), position), (client, never)):
        answer = sender.call("GET", "/mcp", headers={"Last-Event-ID": where})
        assert (answer.status, answer.json["error"]["data"]["code"]) == (404, "not_found")
    for wrong in ("x", "!", "a" * 5000):
        assert client.call("GET", "/mcp", headers={"Last-Event-ID": wrong}).status == 422
    assert client.call("GET", "/mcp").status == 405
    assert client.call("DELETE", "/mcp").status == 405
    assert client.post(request("ping"), {"Mcp-Session-Id": "stale"}).status == 404


def test_a_stream_from_before_its_session_was_deleted(client: McpClient) -> None:
    """A position of a turn that is gone is none of the turn that has its number now."""
    headers, session = client.initialize(), new_session()
    frames = client.read(ask("one", session=session, number=1, progressToken=1), headers)
    client.call("DELETE", f"/session/{session}")
    client.post(ask("two", session=session, number=2), headers)
    assert frames[-1].id
    with client.resume(frames[-1].id) as stream:
        assert result_of(list(stream))["structuredContent"]["reply"] == "two"
