"""Clients of plain event streams, as they are, against the native wire.

Each streams a turn through a connection that is cut in the middle of a frame, answers its question,
and stops another turn.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import httpx_sse
import pytest
import requests
import sseclient
from playwright.sync_api import Page

from tests.clients.sse_cuts import FrameCutter, frame_cutter
from tests.support.client import Client, chat_body, new_session
from tests.support.node import CLIENTS, run_node
from tests.support.processes import clean_environment, find_program
from tests.support.servers import Gunicorn
from tests.support.shared_servers import SharedServers
from tests.support.sse import FrameParser

CUT = "cut-here"
TALK = (
    {"tool": {"name": "add", "output": 5}},
    {"tokens": 3, "pause": 0.01},
    {"text": CUT},
    {"tokens": 3, "pause": 0.01},
    {"ask": "Which colour?"},
    {"text": "."},
)
REPLY = f"w1 w2 w3 {CUT}w1 w2 w3 blue."
TYPES = ["tool_call", "tool_result", *(7 * ["token"]), "input_request", "token", "token", "done"]
STOPPED = ({"text": "x"}, {"hold": 1})
TERMINAL = ("done", "error", "cancelled")
AUTHORIZED = {"Authorization": "Bearer dev"}

#: An event's id, its name and its data.
Seen = tuple[str, str, Any]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Gunicorn:
    """The host."""
    return servers.get()


@pytest.fixture
def cutter(server: Gunicorn) -> Iterator[FrameCutter]:
    """The way to the host, which breaks once."""
    with frame_cutter(server.port, CUT) as cutter:
        yield cutter


def check_talk(seen: list[Seen], *, named: bool = True) -> None:
    """Fail unless this is the whole turn, each event once and in order."""
    assert [data["type"] for _, _, data in seen] == TYPES
    assert [event_id for event_id, _, _ in seen] == [f"1-{n}" for n in range(1, len(TYPES) + 1)]
    if named:
        assert [name for _, name, _ in seen] == TYPES
    texts = [data["content"] for _, _, data in seen if data["type"] == "token"]
    assert "".join(texts) == seen[-1][2]["reply"] == REPLY


def check_stopped(seen: list[Seen], answer: Any) -> None:
    """Fail unless the cancel was answered, and ended the turn."""
    assert [data["type"] for _, _, data in seen] == ["token", "cancelled"]
    assert seen[-1][2]["reason"] == "user"
    assert answer == {"ok": True, "cancelled": True, "turn_id": "1"}


def seen_by(row: dict[str, Any]) -> list[Seen]:
    """What a page has seen."""
    return [(one["id"], one["name"], one["data"]) for one in row["seen"]]


class Sessions:
    """A turn to talk with and one to stop; both go on without readers."""

    def __init__(self, server: Gunicorn) -> None:
        self.talk = new_session()
        self.stop = new_session()
        self.client = Client(server)
        for session, steps in ((self.talk, TALK), (self.stop, STOPPED)):
            with self.client.chat(session, *steps, on_disconnect="continue") as stream:
                stream.next()

    def ticket(self, session: str) -> str:
        """What opens a session's stream without a header."""
        made: str = self.client.call("POST", f"/chat/{session}/ticket").json["ticket"]
        return made


def test_eventsource_of_a_browser(server: Gunicorn, cutter: FrameCutter, page: Page) -> None:
    """Opened by a ticket it takes named events, and comes back by itself."""
    sessions = Sessions(server)
    script = (CLIENTS / "sse_follow.mjs").read_text().replace("export ", "")
    page.goto(f"{cutter.url}/page")
    rows = [
        page.evaluate(
            f"(args) => {{ {script}; return followSource(new EventSource(args.url), args); }}",
            {
                "base": "/agents",
                "session": session,
                "token": "dev",
                "stop": session == sessions.stop,
                "url": f"/agents/chat/{session}/events?named=1&last_event_id=1-0"
                f"&ticket={sessions.ticket(session)}",
            },
        )
        for session in (sessions.talk, sessions.stop)
    ]
    check_talk(seen_by(rows[0]))
    check_stopped(seen_by(rows[1]), rows[1]["answers"][0])


@pytest.fixture(scope="module")
def packages(server: Gunicorn) -> Iterator[dict[str, tuple[Any, Any]]]:
    """What the npm packages have seen of a turn to talk with and of one to stop."""
    with ExitStack() as stack:
        runs = []
        sessions: dict[str, list[str]] = {}
        for client in ("eventsource", "fetchEventSource"):
            url = stack.enter_context(frame_cutter(server.port, CUT)).url
            both = [new_session(), new_session()]
            if client == "eventsource":
                begun = Sessions(server)
                both = [begun.talk, begun.stop]
            sessions[client] = both
            for session, steps, stop in zip(both, (TALK, STOPPED), (False, True), strict=True):
                common = {"base": f"{url}/agents", "session": session, "token": "dev"}
                runs.append({"client": client, **common, "stop": stop, "body": chat_body(*steps)})
        rows = {row["session"]: row for row in run_node("sse.mjs", runs=runs)}
        yield {name: (rows[talk], rows[stop]) for name, (talk, stop) in sessions.items()}


def test_eventsource_package(packages: dict[str, tuple[Any, Any]]) -> None:
    """With a fetch that adds the token it needs no ticket, and comes back by itself."""
    talk, stopped = packages["eventsource"]
    check_talk(seen_by(talk))
    check_stopped(seen_by(stopped), stopped["answers"][0])


def test_fetch_event_source_package(packages: dict[str, tuple[Any, Any]]) -> None:
    """It posts again by itself, and its Idempotency-Key leads it back to its turn."""
    talk, stopped = packages["fetchEventSource"]
    check_talk(seen_by(talk))
    check_stopped(seen_by(stopped), stopped["answers"][0])


Open = Callable[[str, str, dict[str, str], Any], Iterator[Seen]]


def follow(open_stream: Open, url: str, session: str, *steps: dict[str, Any]) -> list[Seen]:
    """Post a turn and read it to its end, coming back after cuts; returns what it asks."""
    seen: list[Seen] = []
    path = f"{url}/agents/chat/{session}"
    request: tuple[str, str, dict[str, str], Any]
    request = ("POST", f"{path}?named=1", AUTHORIZED, chat_body(*steps))
    while not seen or seen[-1][2]["type"] not in TERMINAL:
        for one in open_stream(*request):
            seen.append(one)
            if one[2]["type"] == "input_request":
                answer = {"request_id": one[2]["request_id"], "value": "blue"}
                requests.post(f"{path}/input", json=answer, headers=AUTHORIZED, timeout=10)
        after = {**AUTHORIZED, "Last-Event-ID": seen[-1][0]}
        request = ("GET", f"{path}/events?named=1", after, None)
    return seen


def stop(open_stream: Open, server: Gunicorn) -> tuple[list[Seen], Any]:
    """Post a turn, cancel it at its first event, and read it to its end."""
    session = new_session()
    path = f"{server.url}/agents/chat/{session}"
    stream = open_stream("POST", f"{path}?named=1", AUTHORIZED, chat_body(*STOPPED))
    seen = [next(stream)]
    answer = requests.post(f"{path}/cancel", headers=AUTHORIZED, timeout=10).json()
    return [*seen, *stream], answer


def open_httpx(method: str, url: str, headers: dict[str, str], body: Any) -> Iterator[Seen]:
    """The events of a stream up to its end or a cut."""
    with (
        httpx.Client(timeout=20) as client,
        httpx_sse.connect_sse(client, method, url, headers=headers, json=body) as source,
        suppress(httpx.RemoteProtocolError),
    ):
        for event in source.iter_sse():
            yield event.id, event.event, event.json()


def open_requests(method: str, url: str, headers: dict[str, str], body: Any) -> Iterator[Seen]:
    """The same, by sseclient on requests."""
    answer = requests.request(method, url, headers=headers, json=body, stream=True, timeout=20)
    with answer, suppress(requests.exceptions.ChunkedEncodingError):
        for event in sseclient.SSEClient(answer.iter_content(None)).events():
            yield event.id or "", event.event, json.loads(event.data)


def open_curl(method: str, url: str, headers: dict[str, str], body: Any) -> Iterator[Seen]:
    """The same, by curl."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    sent = [] if body is None else ["--json", json.dumps(body), "--header", "Accept: */*"]
    options = [*sent, *(part for line in lines for part in ("--header", line))]
    parser = FrameParser()
    with subprocess.Popen(
        [find_program("curl", "curl"), "-sN", "-X", method, "--max-time", "20", url, *options],
        stdout=subprocess.PIPE,
        bufsize=0,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        while data := process.stdout.read(65_536):
            for frame in parser.feed(data, 0):
                yield frame.id or "", frame.event or "", frame.data


def test_httpx_sse(server: Gunicorn, cutter: FrameCutter) -> None:
    """After a cut the caller comes back with the id of the last event."""
    check_talk(follow(open_httpx, cutter.url, new_session(), *TALK))
    check_stopped(*stop(open_httpx, server))


def test_sseclient_py(server: Gunicorn, cutter: FrameCutter) -> None:
    """After a cut the caller comes back with the id of the last event."""
    check_talk(follow(open_requests, cutter.url, new_session(), *TALK))
    check_stopped(*stop(open_requests, server))


def test_curl(server: Gunicorn, cutter: FrameCutter) -> None:
    """After a cut a second curl goes on with the id of the last event."""
    check_talk(follow(open_curl, cutter.url, new_session(), *TALK))
    check_stopped(*stop(open_curl, server))
