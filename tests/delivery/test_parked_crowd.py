"""Thousands of parked streams in one worker."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.many_readers import many_readers
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn
from tests.support.waiting import wait_for

THREADS = 8
SESSIONS = 50
TOKENS = 20
#: Of the server, and of the test: little more than it has streams.
MAX_FILES = 6000


@pytest.fixture
def _few_files() -> Iterator[None]:
    """A limit that is felt if streams take more than a file each; children inherit it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_few_files")
@pytest.mark.parametrize("streams", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_every_reader_of_a_crowd_gets_everything(streams: int) -> None:
    """A worker of eight threads serves them all to the end, and the site's pages meanwhile."""
    env = {
        "AGENT_MAX_TURNS_PER_TENANT": "1000",
        "AGENT_MAX_READERS_PER_TENANT": "10000",
        "AGENT_MAX_READERS_PER_TURN": "1000",
        "AGENT_MAX_STREAMS": str(streams + SESSIONS),
        "AGENT_RATE_LIMIT": "1000/second",
    }
    app = "tests.support.parked_apps:watched_app()"
    with gunicorn(app, threads=THREADS, delivery="parked", env=env) as server, ExitStack() as stack:
        client, site = ReadingClient(server), ReadingClient(server, prefix="")
        for number in range(SESSIONS):
            steps = ({"text": "a"}, {"ask": "Go on?"}, {"tokens": TOKENS, "pause": 0.05})
            owner = stack.enter_context(client.chat(f"crowd-{number}", *steps))
            owner.until("input_request")
        readers = stack.enter_context(many_readers(server.port))
        paths = [f"/agents/chat/crowd-{n % SESSIONS}/events" for n in range(streams)]
        readers.ask(paths, "Authorization: Bearer dev", 60)
        readers.read_until(lambda body: b"input_request" in body, 60)
        assert all(body.startswith(b"HTTP/1.1 200 ") for body in readers.received)
        assert site.call("GET", "/page").body == b"a page of the site"
        files = site.call("GET", "/worker").json["files"]
        assert streams <= files < streams + SESSIONS + 100

        for number in range(SESSIONS):
            answer = {"request_id": "", "value": "yes"}
            answer["request_id"] = _request_id(client, f"crowd-{number}")
            assert client.call("POST", f"/chat/crowd-{number}/input", answer, seconds=60).json["ok"]
            assert site.call("GET", "/page", seconds=60).status == 200
        readers.read_until(lambda body: body.endswith(b"\r\n0\r\n\r\n"), 300)
        readers.wait_closed(60)
        for body in readers.received:
            assert body.count(b'"type":"done"') == 1
            assert f'"reply":"ayes{_words()}"'.encode() in body
        wait_for(lambda: site.call("GET", "/worker").json["files"] < 200, "the files are closed")


@pytest.mark.slow
def test_streams_leave_files_for_the_rest() -> None:
    """Near the limit of open files streams are refused, and everything else goes on."""
    env = {"AGENT_MAX_TURNS_PER_TENANT": "1000", "AGENT_RATE_LIMIT": "1000/second"}
    app = "tests.support.parked_apps:watched_app()"
    with gunicorn(app, threads=4, delivery="parked", env=env) as server:
        client, site = ReadingClient(server), ReadingClient(server, prefix="")
        (pid,) = server.worker_pids()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (200, 200))
        with ExitStack() as stack:
            statuses = []
            for number in range(200):
                stream = stack.enter_context(client.chat(f"file-{number}", {"hold": True}))
                statuses.append(stream.status)
                if stream.status != 200:
                    break
            assert statuses[-1] == 503
            assert len(statuses) > 80
            assert site.call("GET", "/page").status == 200
            warnings = client.call("GET", "/readyz").json["warnings"]
            assert any("too few files" in warning for warning in warnings)
            for number in range(len(statuses) - 1):
                client.cancel(f"file-{number}")
        wait_for(lambda: _starts(client), "there is room again")
        assert "Too many open files" not in server.log()


def _starts(client: ReadingClient) -> bool:
    with client.chat("again", {"text": "a"}) as stream:
        return stream.status == 200 and bool(stream.until("done"))


def _words() -> str:
    return "".join(f"w{number} " for number in range(1, TOKENS + 1))


def _request_id(client: ReadingClient, session: str) -> str:
    events = client.call("GET", f"/chat/{session}/poll?after=1-0").json["events"]
    return next(str(event["request_id"]) for event in events if event["type"] == "input_request")
