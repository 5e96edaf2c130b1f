"""`wsgi-agent-host chat` in a terminal, as a person sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.canned import Answer, answer, canned, event, stream
from tests.cli.command import Terminal, steps, terminal
from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn
from tests.support.waiting import wait_for

CTRL_C = "\x03"
CTRL_D = "\x04"
ARROW_UP = "\x1b[A"
LONG = steps({"count": 1000, "pause": 0.01})


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A host with the obedient agent."""
    with gunicorn("tests.cli.agents:obedient_app()", threads=16) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Gunicorn) -> str:
    """Where it is mounted."""
    return f"{server.url}/agents"


@pytest.fixture(scope="module")
def client(server: Gunicorn) -> ReadingClient:
    """Another client of the same tenant."""
    return ReadingClient(server)


def leave(screen: Terminal) -> None:
    """Leave at the prompt."""
    screen.wait("> ")
    screen.type(CTRL_D)
    assert screen.status() == 0


def test_a_conversation(url: str) -> None:
    """Lines are prompted for and answered; thoughts are dimmed; Ctrl-D leaves with status 0."""
    with terminal(url) as screen:
        screen.wait("Ctrl-C stops an answer, Ctrl-D leaves.")
        screen.say(steps({"think": "Let me see."}, {"say": "Two "}, {"say": "words"}))
        screen.wait("\x1b[2mLet me see.\x1b[0m\r\nTwo words\r\n")
        screen.say("")  # nothing is sent
        screen.say("again")
        screen.wait("You said: again\r\n")
        screen.wait("> ")
        screen.type(f"{ARROW_UP}{ARROW_UP}\r")
        screen.wait("Two words")
        leave(screen)


def test_ctrl_c_stops_the_answer_alone(url: str, client: ReadingClient) -> None:
    """Ctrl-C in mid-answer cancels the turn and shows all that came; the chat goes on."""
    session = new_session()
    with terminal(url, "--session", session) as screen:
        screen.say(LONG)
        screen.wait("w20 ")
        screen.type(CTRL_C)
        screen.wait("cancelled\r\n")
        assert client.session(session)["state"] == "idle"
        answer = client.session(session)["messages"][-1]["content"]
        assert answer.strip() in screen.shown().replace("^C", "")
        screen.say("go on")
        screen.wait("You said: go on")
        screen.wait("> ")
        screen.interrupt_prompt()
        assert screen.status() == 130


def test_second_ctrl_c_leaves_at_once() -> None:
    """While the host has not answered the cancel, a second Ctrl-C ends the program."""
    token = event("7-1", {"type": "token", "content": "Hello"})
    with canned(stream(token, chunked=False), Answer(b"", held=True)) as host:
        with terminal(host.url) as screen:
            screen.say("hello")
            screen.wait("Hello")
            screen.type(CTRL_C)
            wait_for(lambda: len(host.requests) == 2, "the cancel has been sent")
            screen.type(CTRL_C)
            assert screen.status() == 130
        assert host.requests[1].body == b'{"turn_id": "7"}'


@pytest.mark.parametrize("known", [True, False])
def test_ctrl_c_before_the_host_has_answered(known: bool) -> None:  # noqa: FBT001 - a parameter
    """A turn whose number is not known yet is cancelled as well, and not started again."""
    cancelled = b'{"ok":true,"cancelled":true,"turn_id":"7"}' if known else b'{"cancelled":false}'
    end = event("7-1", {"type": "cancelled", "reason": "user"})
    with canned(Answer(b"", held=True), answer(cancelled), stream(end)) as host:
        with terminal(host.url) as screen:
            screen.say("hello")
            wait_for(lambda: host.requests, "the message has been sent")
            screen.type(CTRL_C)
            screen.wait("cancelled\r\n")
            leave(screen)
        start, cancel, *resumed = host.requests
        assert start.line.startswith("POST /chat/")
        assert cancel.line == start.line.replace(" HTTP", "/cancel HTTP")
        assert cancel.body == b"{}"
        assert [request.headers["last-event-id"] for request in resumed] == ["7-0"] * known


def test_questions(url: str) -> None:
    """A question shows what it takes, asks again for what does not fit, and Ctrl-C cancels it."""
    enum = {"enum": ["red", "blue", 3]}
    with terminal(url) as screen:
        screen.say(steps({"ask": "Sure?", "schema": {"type": "boolean"}}, {"say": "!"}))
        screen.wait("? Sure?\r\n")
        screen.wait("y or n: ")
        screen.type("perhaps\r")
        screen.wait("Answer with y or n.")
        screen.wait("y or n: ")
        screen.type("Y\r")
        screen.wait("true!")
        for typed, value in (("2", '"blue"'), ("red", '"red"'), ("3", "3")):
            screen.say(steps({"ask": "Which?", "schema": enum}))
            screen.wait("1. red")
            screen.wait("a number from 1 to 3: ")
            screen.type(f"{typed}\r")
            screen.wait(f"\r\n{value}\r\n")
        screen.say(steps({"ask": "Name?"}))
        screen.wait("Name?")
        screen.wait("answer: ")
        screen.interrupt_prompt()
        screen.wait("cancelled\r\n")
        leave(screen)


def test_session_of_a_running_turn_is_taken_up(url: str, client: ReadingClient) -> None:
    """--session shows the last messages and the running answer from its start to its end."""
    session = new_session()
    client.call("POST", f"/chat/{session}", {"message": "before"})
    asked = steps({"ask": "First?"}, {"say": " then "}, {"ask": "Second?"}, {"say": "!"})
    with client.stream("POST", f"/chat/{session}", {"message": asked}) as stream:
        request_id = stream.until("input_request")[-1].data["request_id"]
        body = {"request_id": request_id, "value": "a"}
        assert client.call("POST", f"/chat/{session}/input", body).status == 200
        stream.until("input_request")
        with terminal(url, "--session", session) as screen:
            screen.wait("user: before")
            screen.wait("assistant: You said: before")
            screen.wait("? First?\r\n")
            screen.wait('"a" then \r\n? Second?\r\n')
            screen.wait("answer: ")
            screen.type("b\r")
            screen.wait('"b"!')
            leave(screen)
    assert client.session(session)["messages"][-1]["content"] == '"a" then "b"!'
