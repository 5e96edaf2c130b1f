"""The WebSocket: the native events and all a client can say, over one connection."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from contextlib import closing
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Server, gunicorn
from tests.support.shared_servers import SharedServers
from tests.support.sockets import DEV, READ_SECONDS, connected
from tests.support.waiting import wait_for

APP = "tests.support.apps:scripted_app()"


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    """One worker, whose pings may wait for a client that has no processor for a while."""
    return servers.get(env={"AGENT_KEEPALIVE_SECONDS": "15"})


def test_a_turn_over_a_websocket(server: Server) -> None:
    """A message starts a turn, whose native events come with their ids."""
    with connected(server, new_session()) as client:
        client.script({"text": "Hel"}, {"text": "lo"})
        events = client.until("done")
    assert [event["id"] for event in events] == ["1-1", "1-2", "1-3"]
    assert "".join(event["content"] for event in events[:-1]) == "Hello"
    assert events[-1]["reply"] == "Hello"


def test_several_turns_on_one_connection(server: Server) -> None:
    """The connection stays open after a turn, for the next one."""
    with connected(server, new_session()) as client:
        for turn in range(1, 4):
            client.script({"text": "x"})
            assert client.until("done")[-1]["id"] == f"{turn}-2"


def test_a_cancel_ends_the_turn(server: Server) -> None:
    """`cancel` ends what runs with its event."""
    with connected(server, new_session()) as client:
        client.script({"text": "x"}, {"hold": 1})
        client.until("token")
        client.say(type="cancel")
        assert client.until("cancelled")[-1]["reason"] == "user"


def test_a_question_is_answered(server: Server) -> None:
    """`input` answers what the agent asked."""
    with connected(server, new_session()) as client:
        client.script({"ask": "Which colour?"})
        question = client.until("input_request")[-1]
        client.say(type="input", request_id=question["request_id"], value="blue")
        assert "blue" in client.until("done")[-1]["reply"]


def test_a_dropped_client_resumes_where_it_was(server: Server) -> None:
    """After a cut the rest of the turn comes exactly; the turn runs on meanwhile."""
    session = new_session()
    with connected(server, session) as client:
        client.script({"text": "a"}, {"text": "b"}, {"hold": 1})
        assert [event["id"] for event in (client.event(), client.event())] == ["1-1", "1-2"]
        client.client.sock.shutdown(socket.SHUT_RDWR)
    with connected(server, session) as client:
        client.say(type="resume", last_event_id="1-1")
        assert client.event()["content"] == "b"
        client.say(type="cancel")
        assert client.event() == {"id": "1-3", "type": "cancelled", "reason": "user"}


def test_resume_reads_what_sse_started(server: Server) -> None:
    """One cursor for both: a turn started by POST is read over the WebSocket."""
    session = new_session()
    http = ReadingClient(server)
    with http.chat(session, {"text": "a"}, {"hold": 1}) as stream:
        stream.until("token")
        with connected(server, session) as client:
            client.say(type="resume")
            assert client.event()["id"] == "1-1"
            http.cancel(session)
            assert client.event()["type"] == "cancelled"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", "invalid_json"),
        ("[]", "invalid_request"),
        ('{"type":"dance"}', "invalid_request"),
        ('{"type":"message"}', "invalid_request"),
        ('{"type":"message","content":""}', "invalid_request"),
        ('{"type":"message","content":"hi","more":1}', "invalid_request"),
        ('{"type":"input","request_id":"r","value":1}', "no_pending_input"),
        ('{"type":"resume","last_event_id":"x"}', "invalid_request"),
    ],
)
def test_a_faulty_message_is_an_error_without_an_id(server: Server, text: str, code: str) -> None:
    """The client is told, and may go on."""
    with connected(server, new_session()) as client:
        client.client.send(text)
        error = client.event()
        assert (error["type"], error["code"], "id" in error) == ("error", code, False)
        client.script({"text": "x"})
        assert client.until("done")


def test_a_busy_session_refuses_and_goes_on(server: Server) -> None:
    """A second message meets `session_busy`; the first turn's events still come."""
    with connected(server, new_session()) as client:
        client.script({"text": "x"}, {"hold": 1})
        client.until("token")
        client.script({"text": "y"})
        assert client.event()["code"] == "session_busy"
        client.script({"text": "y"}, if_busy="interrupt")
        assert client.until("cancelled")[-1]["reason"] == "interrupted"
        assert client.until("done")[-1]["reply"] == "y"


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def handshake(server: Server, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """What the server answers to a handshake that it refuses: status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=READ_SECONDS)
    lines = {name: value for name, value in {**UPGRADE, **headers}.items() if value}
    with closing(connection):
        connection.request("GET", path, headers=lines)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/agents/ws/chat/s-1", {}, 401, "unauthorized"),
        ("/agents/ws/chat/s-1?ticket=x", {}, 401, "unauthorized"),
        ("/agents/ws/chat/a%20b", DEV, 422, "invalid_request"),
        ("/agents/ws/nowhere", DEV, 404, "not_found"),
        ("/agents/chat/s-1", DEV, 404, "not_found"),
        ("/agents/ws/chat/s-1", {**DEV, "Origin": "https://foe.example"}, 403, "forbidden"),
        ("/agents/ws/chat/s-1", {**DEV, "Sec-WebSocket-Key": ""}, 422, "invalid_request"),
    ],
)
def test_refusals_come_before_the_upgrade(
    server: Server, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    """Who may not connect gets an ordinary answer in JSON."""
    found, body = handshake(server, path, headers)
    assert (found, body["code"]) == (status, code)


def test_a_plain_request_is_no_websocket(server: Server) -> None:
    """GET without an upgrade finds nothing there."""
    assert ReadingClient(server).call("GET", "/ws/chat/s-1").status == 404


def test_a_ticket_opens_a_websocket(server: Server) -> None:
    """A browser's WebSocket, which sends no header, shows a ticket."""
    session = new_session()
    ticket = ReadingClient(server).call("POST", f"/chat/{session}/ticket").json["ticket"]
    with connected(server, session, {}, f"?ticket={ticket}") as client:
        client.script({"text": "x"})
        assert client.until("done")


def test_a_vanished_client_leaves_its_turn() -> None:
    """After the orphan time the turn is cancelled, and the slot is free again."""
    with gunicorn(APP, threads=8, env={"AGENT_ORPHAN_SECONDS": "0.2"}) as own:
        for _ in range(12):  # twice the slots
            session = new_session()
            with connected(own, session) as client:
                client.script({"text": "x"}, {"hold": 1})
                client.until("token")
                client.client.sock.shutdown(socket.SHUT_RDWR)
            wait_for(
                lambda: ReadingClient(own).session(session)["state"] == "idle",  # noqa: B023 - waited for here
                "the turn is cancelled",
            )


def test_a_dead_peer_is_found_by_pings(servers: SharedServers) -> None:
    """A client that answers no pings is let go within about two intervals."""
    server = servers.get()
    session = new_session()
    url = f"/agents/ws/chat/{session}"
    lines = {"Host": "127.0.0.1", **UPGRADE, **DEV}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=READ_SECONDS) as client:
        client.sendall(f"GET {url} HTTP/1.1\r\n{head}\r\n".encode())
        received = b""
        while chunk := client.recv(65_536):
            received += chunk
    assert b"Ping/Pong timeout" in received


def test_a_message_that_is_too_big_ends_the_connection(server: Server) -> None:
    """1009 for more than the largest body; the worker goes on."""
    with connected(server, new_session()) as client:
        client.client.send("x" * 1_100_000)
        assert client.closed() == 1009


def test_rubbish_ends_the_connection(server: Server) -> None:
    """Bytes that are no frame end the connection, and nothing else."""
    with connected(server, new_session()) as client:
        client.client.sock.sendall(b"\xff" * 64)
        assert client.closed() in (1002, 1005, 1006)


def test_a_leaving_worker_says_try_again_later() -> None:
    """On drain an idle connection is closed with 1013; a turn may end first."""
    config = ROOT / "gunicorn.conf.py"
    env = {"AGENT_DRAIN_SECONDS": "20"}
    with gunicorn(APP, workers=None, config=config, env=env) as server:
        session = new_session()
        with connected(server, new_session()) as idle, connected(server, session) as busy:
            busy.script({"text": "x"}, {"hold": 1})
            busy.until("token")
            server.signal(signal.SIGTERM)
            assert idle.closed() == 1013
            busy.say(type="cancel")
            assert busy.until("cancelled")
            assert busy.closed() == 1013
