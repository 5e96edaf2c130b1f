"""Streams that hold no thread: what they have in common with the others, and what they do not."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from tests.support.client import chat_body
from tests.support.processes import temporary_folder
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, Server, flask_dev_server, gunicorn
from tests.support.service import make_certificate
from tests.support.shared_servers import SharedServers
from tests.support.sse import Stream, StreamCutError, open_stream
from tests.support.waiting import wait_for

APP = "tests.support.parked_apps:watched_app()"
THREADS = 4
ACCESS = ["--access-logfile", "-", "--access-logformat", "line %(m)s %(U)s %(s)s %(B)s %(M)s"]
PLENTY = {"AGENT_MAX_TURNS_PER_TENANT": "1000"}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A host with few threads that parks all streams."""
    with gunicorn(APP, threads=THREADS, delivery="parked", env=PLENTY, args=ACCESS) as started:
        client = ReadingClient(started)
        # What is there from the first stream on shall be there before anything is counted.
        for session in ("first", "second"):
            with client.chat(session, {"text": "a"}) as stream:
                assert stream.until("done")
            client.chat_json(session, {"text": "a"})
        yield started


@pytest.fixture(scope="module")
def client(server: Gunicorn) -> ReadingClient:
    """Its client."""
    return ReadingClient(server)


def facts(server: Server) -> dict[str, int]:
    """What the worker holds."""
    answer: dict[str, int] = ReadingClient(server, prefix="").call("GET", "/worker").json
    return answer


def files_of(server: Server) -> int:
    """How many files the worker has open, of connections only the one that asks."""
    return wait_for(
        lambda: (held := facts(server))["connections"] == 1 and held["files"],
        "gunicorn has put earlier connections away",
    )


def access_lines(server: Server, path: str) -> list[tuple[int, int, int]]:
    """Status, bytes and milliseconds of each line that the access log has on a path."""
    found = re.findall(
        rf"^line \w+ {re.escape(path)} (\d+) (\d+) (\d+)$", server.log(), re.MULTILINE
    )
    return [(int(status), int(size), int(spent)) for status, size, spent in found]


def test_many_more_streams_than_threads(client: ReadingClient, server: Gunicorn) -> None:
    """Forty streams on four threads all live, beside pages and cancels, and leave nothing."""
    # What an earlier request has open, or the worker's own start, is gone once nothing changes.
    wait_for(lambda: len({files_of(server) for _ in range(10)}) == 1, "all are counted", 60)
    before = files_of(server)
    with ExitStack() as stack:
        streams = [
            stack.enter_context(client.chat(f"many-{n}", {"text": "a"}, {"hold": True}))
            for n in range(40)
        ]
        for stream in streams:
            assert stream.until("token")
        assert ReadingClient(server, prefix="").call("GET", "/page").body == b"a page of the site"
        assert files_of(server) - before >= 40
        for number, stream in enumerate(streams):
            assert client.cancel(f"many-{number}")["cancelled"]
            assert stream.until("cancelled")
            assert stream.next() is None
            assert stream.ended == "clean"
    wait_for(lambda: files_of(server) <= before + 3, "the files are closed")


def test_a_chunk_that_ends_the_body_is_followed_by_the_connections_end(
    client: ReadingClient,
) -> None:
    """The head says that the connection ends, and it does."""
    with client.chat("head", {"text": "a"}) as stream:
        assert stream.headers["connection"] == "close"
        assert stream.headers["transfer-encoding"] == "chunked"
        assert stream.headers["server"] == "gunicorn"
        assert stream.headers["x-site"] == "was here"
        assert [frame.data["type"] for frame in stream] == ["token", "done"]


def test_access_log_has_one_line_at_the_end_of_the_stream(
    client: ReadingClient, server: Gunicorn
) -> None:
    """The line tells status, the body's bytes and the stream's whole time."""
    path = "/agents/chat/logged"
    with client.chat("logged", {"text": "a"}, {"wait": 1}, {"tokens": 5}) as stream:
        stream.until("token")
        assert access_lines(server, path) == []
        list(stream)
    ((status, size, milliseconds),) = wait_for(lambda: access_lines(server, path), "the line")
    with client.events("logged", "1-0") as again:
        replayed = again.body()
    difference = size - len(replayed)
    assert status == 200
    assert abs(difference) <= 1, "the same frames, but for the digits of the reconnect time"
    assert 1000 <= milliseconds < 15_000


def test_access_log_has_one_line_for_a_client_that_hangs_up(
    client: ReadingClient, server: Gunicorn
) -> None:
    """A reader that leaves is logged once, at that moment."""
    stream = client.chat("left", {"text": "a"}, {"hold": True}, on_disconnect="continue")
    stream.until("token")
    stream.abort()
    lines = wait_for(lambda: access_lines(server, "/agents/chat/left"), "the line")
    assert [line[0] for line in lines] == [200]
    client.cancel("left")
    client.wait_idle("left")
    assert len(access_lines(server, "/agents/chat/left")) == 1


def test_the_sites_request_ends_before_its_stream(client: ReadingClient, server: Gunicorn) -> None:
    """Teardown runs when the stream is parked; what waits for the response's end, at its end."""
    path = "/agents/chat/request"

    def observed(name: str) -> list[str]:
        return re.findall(rf"observed {name} [0-9.]+ {path}( .*)?$", server.log(), re.MULTILINE)

    with client.chat("request", {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        assert wait_for(lambda: observed("torn_down"), "teardown") == [" None"]
        assert observed("closed_response") == []
        client.cancel("request")
        assert stream.until("cancelled")
    assert wait_for(lambda: observed("closed_response"), "the response's end") == [""]


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["wrapped_app", "reporting_app"])
@pytest.mark.parametrize("delivery", ["thread", "parked"])
def test_what_reports_exceptions_has_none_to_report(wrapper: str, delivery: str) -> None:
    """A wrapper around the application sees an ordinary response, parked or not."""
    app = f"tests.support.parked_apps:{wrapper}()"
    with gunicorn(app, threads=THREADS, delivery=delivery) as server:
        client = ReadingClient(server)
        with client.chat("seen", {"text": "a"}, {"wait": 0.1}, {"text": "b"}) as stream:
            assert stream.until("done")[-1].data["reply"] == "ab"
            assert stream.next() is None
        assert "captured" not in server.log()
        assert "Traceback" not in server.log()
        assert "streams are not parked" not in server.log()


@pytest.mark.slow
def test_batches_and_names_are_as_in_a_thread(servers: SharedServers) -> None:
    """Both deliveries write the same bytes, also where text is merged in windows."""
    bodies: list[list[bytes]] = []
    tool: dict[str, Any] = {"tool": {"name": "t", "output": {"x": [1, "é"]}}}
    said = [{"tokens": 30}, tool, {"events": ["status", "thinking"]}, {"tokens": 300}]
    queries = ("", "?named=1", "?batch_ms=200", "?wire=agentflow", "?batch_ms=1000")
    for delivery in ("thread", "parked"):
        client = ReadingClient(servers.get(delivery=delivery))
        for number in range(len(queries)):
            client.chat_json(f"same-{number}", *said)
        bodies.append([_replay(client, f"same-{n}", query) for n, query in enumerate(queries)])
    assert bodies[0] == bodies[1]


def _replay(client: ReadingClient, session: str, query: str) -> bytes:
    headers = {"Last-Event-ID": "1-0"}
    with client.stream("GET", f"/chat/{session}/events{query}", headers=headers) as stream:
        return re.sub(rb"retry: \d+", b"retry:", stream.body())


def test_auto_parks_what_finds_no_thread() -> None:
    """Streams beyond the slots are parked; what needs a thread is refused as ever."""
    env = {**PLENTY, "AGENT_MAX_STREAMS": "9"}
    with gunicorn(APP, threads=THREADS, delivery="auto", env=env) as server, ExitStack() as stack:
        client = ReadingClient(server)
        streams: list[Stream] = []
        for number in range(9):
            one = client.chat(f"auto-{number}", {"text": "a"}, {"hold": True})
            streams.append(stack.enter_context(one))
            assert one.until("token")
        parked = [one for one in streams if one.headers["connection"] == "close"]
        assert len(parked) == 7, "two of four threads are kept free"
        tenth = client.call("POST", "/chat/tenth", {"message": "m"})
        assert (tenth.status, tenth.json["code"]) == (503, "at_capacity")
        assert client.cancel("auto-8")["cancelled"]
        assert streams[8].until("cancelled")
        assert client.chat_json("whole").status == 503, "a whole answer needs a thread"
        wait_for(lambda: _starts(client, "again"), "the place comes free")


def _starts(client: ReadingClient, session: str) -> bool:
    with client.stream("POST", f"/chat/{session}", chat_body({"text": "a"})) as stream:
        return stream.status == 200 and bool(stream.until("done"))


@pytest.mark.slow
@pytest.mark.parametrize("app", ["rewriting_app", "hiding_app"])
def test_a_response_that_others_meddle_with_is_not_parked(app: str) -> None:
    """Where something stands between host and gunicorn, streams take threads, and it is told."""
    with gunicorn(f"tests.support.parked_apps:{app}()", threads=8, delivery="parked") as server:
        client = ReadingClient(server)
        for number in range(3):
            with client.chat(f"meddled-{number}", {"text": "a"}) as stream:
                assert stream.until("done")
                assert stream.next() is None
        if app == "rewriting_app":
            assert server.log().count("streams are not parked") == 1
            (warning,) = client.call("GET", "/readyz").json["warnings"]
            assert "another body" in warning


@pytest.mark.slow
def test_without_the_hooks_streams_take_threads() -> None:
    """Nobody would wait for parked streams when a worker leaves; the log and readiness say it."""
    env = {"AGENT_DELIVERY": "parked"}
    with gunicorn(APP, threads=8, env=env, config="python:tests.support.no_hooks") as server:
        client = ReadingClient(server)
        for number in range(2):
            with client.chat(f"bare-{number}", {"text": "a"}) as stream:
                assert stream.until("done")
        assert server.log().count("does not import the hooks") == 1
        (warning,) = client.call("GET", "/readyz").json["warnings"]
        assert "does not import the hooks" in warning


@pytest.mark.slow
def test_other_servers_use_threads() -> None:
    """Flask's own server streams as ever; who asked for more is told."""
    with flask_dev_server("tests.support.apps:site", env={"AGENT_DELIVERY": "parked"}) as server:
        client = ReadingClient(server)
        with client.chat("other", {"text": "a"}) as stream:
            assert stream.until("done")
        (warning,) = client.call("GET", "/readyz").json["warnings"]
        assert "not gunicorn" in warning
    with flask_dev_server("tests.support.apps:site", env={"AGENT_DELIVERY": "auto"}) as server:
        client = ReadingClient(server)
        assert client.chat_json("other", {"text": "a"}).status == 200
        assert client.call("GET", "/readyz").json["warnings"] == []


@pytest.mark.slow
def test_tls_takes_threads() -> None:
    """Where gunicorn itself encrypts, threads write the streams, without a word about it."""
    with temporary_folder() as folder:
        make_certificate(folder)
        args = ["--certfile", f"{folder}/agents.crt", "--keyfile", f"{folder}/agents.key"]
        with gunicorn(
            APP, threads=8, delivery="auto", env={"AGENT_STREAM_SLOTS": "1"}, args=args
        ) as server:
            url = f"https://localhost:{server.port}/agents"
            answers = [
                requests.post(
                    f"{url}/chat/tls-{number}",
                    json=chat_body({"text": "a"}, {"wait": 1}, {"text": "b"}),
                    headers={"Authorization": "Bearer dev"},
                    verify=f"{folder}/agents.crt",
                    stream=True,
                    timeout=15,
                )
                for number in range(2)
            ]
            assert [answer.status_code for answer in answers] == [200, 503]
            assert '"reply":"ab"' in answers[0].text
            answers[1].close()
            assert "streams are not parked" not in server.log()


def test_old_http_takes_a_thread(server: Gunicorn, client: ReadingClient) -> None:
    """HTTP/1.0, which cannot tell an end from a cut, and HEAD are answered by their threads."""
    client.chat_json("old", {"text": "a"})
    head = client.call("HEAD", "/chat/old/events?last_event_id=1-0")
    assert (head.status, head.body) == (200, b"")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        path = "/agents/chat/old/events?last_event_id=1-0"
        connection.sendall(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer dev\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert b"chunked" not in answer
    assert b'"type":"done"' in answer


def test_a_stopped_reader_costs_neither_others_nor_the_drain() -> None:
    """When a worker leaves, who reads gets the end, and who does not is cut off in time."""
    env = {"AGENT_DRAIN_SECONDS": "1", "AGENT_WRITE_TIMEOUT_SECONDS": "600"}
    with gunicorn(APP, threads=THREADS, delivery="parked", env=env) as server:
        client = ReadingClient(server)
        stalled = open_stream(
            "POST",
            f"{server.url}/agents/chat/stalled",
            json=chat_body({"blobs": 60}),
            headers={"Authorization": "Bearer dev"},
            receive_buffer_bytes=4096,
        )
        client.wait_idle("stalled")
        with client.chat("reads", {"hold": True}) as stream:
            wait_observed(server, "started", "reads")
            server.signal(signal.SIGTERM)
            (end,) = list(stream)
            assert end.data["code"] == "worker_shutdown"
            assert stream.ended == "clean"
        wait_for(lambda: not server.running(), "gunicorn ends", 15)
        with stalled, pytest.raises(StreamCutError):
            list(stalled)
        assert "SIGKILL" not in server.log()
        assert "parked streams are cut" in server.log()


@pytest.mark.slow
def test_killed_workers_parked_readers_see_a_cut() -> None:
    """After kill -9 no parked stream looks as if it had ended."""
    with gunicorn(APP, threads=THREADS, delivery="parked") as own:
        client = ReadingClient(own)
        with ExitStack() as stack:
            streams = [
                stack.enter_context(client.chat(f"k-{n}", {"text": "a"}, {"hold": True}))
                for n in range(8)
            ]
            for stream in streams:
                stream.until("token")
            os.kill(own.worker_pids()[0], signal.SIGKILL)
            for stream in streams:
                with pytest.raises(StreamCutError):
                    stream.next()


@pytest.mark.slow
def test_a_worker_whose_arbiter_has_gone_drains_too() -> None:
    """Parked readers of a worker that leaves by itself see the turn's end, too."""
    with gunicorn(APP, threads=THREADS, delivery="parked") as server:
        client = ReadingClient(server)
        with client.chat("alone", {"text": "a"}, {"hold": True}) as stream:
            stream.until("token")
            os.kill(server.pid, signal.SIGKILL)
            (end,) = list(stream)
            assert end.data["code"] == "worker_shutdown"
            assert stream.ended == "clean"


@pytest.mark.slow
def test_a_worker_that_waits_for_parked_streams_is_not_taken_for_stuck() -> None:
    """A drain longer than gunicorn's timeout ends with the turn's own end."""
    env = {"AGENT_DRAIN_SECONDS": "20"}
    args = ["--timeout", "2", "--graceful-timeout", "25", "--max-requests", "2"]
    with gunicorn(APP, threads=THREADS, delivery="parked", env=env, args=args) as server:
        client = ReadingClient(server)
        with client.chat("long", {"tokens": 60, "pause": 0.1}) as stream:
            stream.until("token")
            ReadingClient(server, prefix="").call("GET", "/page")
            assert stream.until("done")
            assert stream.next() is None
        assert "WORKER TIMEOUT" not in server.log()


@pytest.mark.parametrize("rounds", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_clients_that_come_and_go_leave_nothing(server: Gunicorn, rounds: int) -> None:
    """Streams that end, are closed or broken off leave no file, thread or connection behind."""
    client = ReadingClient(server)
    before = facts(server)
    for number in range(rounds):
        session = f"gone-{rounds}-{number}"
        with client.chat(f"{session}-end", {"text": "a"}) as stream:
            assert stream.until("done")
        closing = client.chat(f"{session}-close", {"text": "a"}, {"hold": True})
        breaking = client.chat(f"{session}-break", {"hold": True})
        closing.until("token")
        closing.close()
        breaking.abort()
        for end in ("close", "break"):
            client.cancel(f"{session}-{end}")

    def is_clean() -> bool:
        now = facts(server)
        return (
            now["files"] <= before["files"] + 3
            and now["threads"] <= before["threads"] + 3
            and now["connections"] == 1
            and now["polled"] <= before["polled"] + 1
        )

    wait_for(is_clean, f"as it was: {before}", 30)
