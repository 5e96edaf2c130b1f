"""The agent as an MCP server: what goes over the network, on two workers with one store."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import pytest

from tests.mcp.client import McpClient, ask, read, request, result_of, texts
from tests.support.client import new_session
from tests.support.reading import ReadingClient, served, wait_observed
from tests.support.servers import Gunicorn
from tests.support.service import owner_pid
from tests.support.sse import Frame, StreamCutError
from tests.support.waiting import wait_for
from wsgi_app.wires.mcp.request import (
    HANDSHAKE_VERSIONS,
    StreamPosition,
)

TOKENS: Final = 60

STEPS: Final = ({"tokens": TOKENS, "pause": 0.004},)

REPLY: Final = "".join(f"w{number} " for number in range(1, TOKENS + 1))


def read_cut(client: McpClient, headers: Mapping[str, str], chance: random.Random) -> list[Frame]:
    """Read a call's stream to its answer, which is cut at random."""
    frames: list[Frame] = []
    session = new_session()
    message = ask(*STEPS, session=session, number=chance.randrange(1, 2**31), progressToken="p")
    while True:
        # Cut before the first event, it sends the request again: that attaches to the same turn.
        last = frames[-1].id if frames else None
        begin = partial(client.resume, last) if last else partial(client.open, message, headers)
        with served(begin) as stream:
            for frame in stream:
                if not frame.text:
                    break  # it is to come again
                frames.append(frame)
                if chance.random() < 0.06:
                    stream.abort()
                    break
        if frames and "result" in frames[-1].data:
            return frames


@pytest.mark.parametrize("turns", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_calls_cut_at_random_lose_and_double_nothing(client: McpClient, turns: int) -> None:
    """However often and wherever streams are cut, on any worker, all tokens come once."""
    headers = client.initialize()

    def run(number: int) -> list[Frame]:
        return read_cut(client, headers, random.Random(number))  # noqa: S311 - repeatable cuts

    with ThreadPoolExecutor(8) as pool:
        for frames in pool.map(run, range(turns)):
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
