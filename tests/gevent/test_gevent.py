"""gunicorn's gevent workers, with all that gevent replaces: one of each kind.

`make test-gevent` runs the suites of delivery on them, too.
"""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import OPERATOR, owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Stall, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

APP = "tests.support.gevent_apps:kinds_app()"
APP_ALONE = "tests.support.apps:scripted_app()"
CONFIG = ROOT / "gunicorn.conf.py"
WORKERS = 2
NOTICED_SECONDS = 0.1
#: What other workers wait for; the arbiter does not.
LEASE_SECONDS = 10


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def model_server(upstream: Upstream) -> Iterator[Gunicorn]:
    """One worker whose agent asks the provider."""
    app = "tests.support.openai_apps:tools_app()"
    with gunicorn(app, env=upstream.environment, worker_class="gevent") as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two gevent workers with Redis, the hooks and the project's configuration."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": OPERATOR,
            "AGENT_ORPHAN_SECONDS": "0",
            "AGENT_DRAIN_SECONDS": "5",
            "AGENT_MAX_TURNS_PER_TENANT": "1000",
        }
        with gunicorn(
            APP,
            workers=WORKERS,
            threads=1200,
            env=env,
            config=CONFIG,
            worker_class="gevent",
        ) as running:
            wait_for(lambda: len(pids(running)) == WORKERS, "both workers serve", 30)
            yield running


def pids(server: Gunicorn) -> set[int]:
    """Which workers have served some requests."""
    site = ReadingClient(server, prefix="")
    return {site.call("GET", "/pid").json for _ in range(12)}


@pytest.fixture
def client(server: Gunicorn) -> ReadingClient:
    """A client of the scripted agent."""
    return ReadingClient(server)


def test_gevent_has_replaced_what_it_replaces(server: Gunicorn) -> None:
    """The workers under test are monkey-patched."""
    site = ReadingClient(server, prefix="")
    assert site.call("GET", "/patched").json == ["threading", "socket", "select"]


@pytest.mark.parametrize("kind", ["generator", "async"])
def test_tokens_come_one_by_one(client: ReadingClient, kind: str) -> None:
    """A stream brings each token when it is yielded, be the agent a generator or async."""
    metadata = {"kind": kind, "steps": [{"tokens": 10, "pause": 0.05}]}
    with client.stream(
        "POST", f"/chat/each-{kind}", json={"message": "m", "metadata": metadata}
    ) as stream:
        frames = [frame for frame in stream if frame.data["type"] == "token"]
    gaps = [b.at - a.at for a, b in itertools.pairwise(frames)]
    assert len(frames) == 10
    assert 0.03 < statistics.median(gaps) < 0.2, gaps


def test_async_agents_run_at_the_same_time(client: ReadingClient) -> None:
    """Thirty async agents that wait for a second are done after far less than thirty."""
    body = {"message": "m", "metadata": {"kind": "async", "steps": [{"wait": 1}, {"text": "a"}]}}
    began_at = time.monotonic()
    with ThreadPoolExecutor(30) as pool:
        answers = [
            pool.submit(client.call, "POST", f"/chat/together-{n}", body, seconds=60)
            for n in range(30)
        ]
        assert {answer.result().status for answer in answers} == {200}
    assert time.monotonic() - began_at < 15


@pytest.mark.parametrize("kind", ["generator", "async"])
def test_any_worker_cancels(client: ReadingClient, kind: str) -> None:
    """A cancel ends a turn, whichever of the workers it comes to."""
    for number in range(8):
        session = f"cancel-{kind}-{number}"
        metadata = {"kind": kind, "steps": [{"text": "a"}, {"hold": True}]}
        body = {"message": "m", "metadata": metadata}
        with client.stream("POST", f"/chat/{session}", json=body) as stream:
            assert stream.until("token")
            answer = client.cancel(session)
            assert answer == {"ok": True, "cancelled": True, "turn_id": "1"}
            assert stream.until("cancelled")[-1].data["reason"] == "user"


def test_a_hang_up_is_noticed_within_100_ms(server: Gunicorn, client: ReadingClient) -> None:
    """A silent turn ends when its client has gone."""
    delays = []
    for number in range(10):
        stream = client.chat(f"gone-{number}", {"text": "a"}, {"hold": True})
        assert stream.until("token")
        left_at = time.monotonic()
        stream.abort()
        delays.append(wait_observed(server, "cancelled", f"gone-{number}") - left_at)
    assert statistics.median(delays) < NOTICED_SECONDS, delays


def test_a_reader_cut_again_and_again_gets_every_event_once(client: ReadingClient) -> None:
    """A stream that goes on after its last id has no hole and no double, on any worker."""
    session, words = "resumed", 60
    steps = {"tokens": words, "pause": 0.02}
    stream = client.chat(session, steps, on_disconnect="continue")
    seen = list(stream.until("token"))
    while seen[-1].data["type"] != "done":
        stream.abort()
        stream = client.events(session, seen[-1].id)
        frames = []
        for frame in stream:
            frames.append(frame)
            if len(frames) == 5:
                break
        seen += frames
    stream.close()
    text = "".join(frame.data["content"] for frame in seen if frame.data["type"] == "token")
    assert text == "".join(f"w{number} " for number in range(1, words + 1))
    ids = [frame.id for frame in seen]
    assert len(ids) == len(set(ids))


def test_a_question_is_answered_on_any_worker(client: ReadingClient) -> None:
    """``ask`` and ``ask_async`` wait without keeping others, and get what any worker took."""
    for kind in ("generator", "async"):
        session = f"asked-{kind}"
        body = {"message": "m", "metadata": {"kind": kind, "steps": [{"ask": "Which?"}]}}
        with client.stream("POST", f"/chat/{session}", json=body) as stream:
            question = stream.until("input_request")[-1].data
            answer = {"request_id": question["request_id"], "value": "blue"}
            assert client.call("POST", f"/chat/{session}/input", answer).status == 200
            assert stream.until("done")[-1].data["reply"] == "blue"


def ask(server: Gunicorn, prefix: str, message: str, session: str) -> Any:
    """The reply of the agent below this prefix."""
    client = ReadingClient(server, prefix=f"/{prefix}")
    with client.stream("POST", f"/chat/{session}", json={"message": message}) as stream:
        end = list(stream)[-1].data
    assert end["type"] == "done", end
    return end["reply"]


def test_the_built_in_agent_and_its_tools(model_server: Gunicorn, upstream: Upstream) -> None:
    """A model's tokens stream, and tools run, sync and async, at the same time."""
    calls = (
        Call("c1", "add", '{"a": 1, "b": 2}'),
        Call("c2", "add_later", '{"a": 3, "b": 4}'),
        Call("c3", "where", "{}"),
    )
    message = scripted_message((ToolCalls(calls),), (Text(("3 ", "and ", "7")),), tag="tools")
    assert ask(model_server, "agents", message, "tools") == "3 and 7"
    results = [m for m in upstream.requests[-1].body["messages"] if m["role"] == "tool"]
    assert [result["content"] for result in results[:2]] == ["3", "7"]


def test_a_cancel_closes_the_connection_to_the_model(
    model_server: Gunicorn, upstream: Upstream
) -> None:
    """A model that has stalled is left at once."""
    client = ReadingClient(model_server)
    message = scripted_message((Text(("Hel",)), Stall()), tag="stalled")
    with client.stream("POST", "/chat/stalled", json={"message": message}) as stream:
        assert stream.until("token")
        asked_at = time.monotonic()
        assert client.cancel("stalled")["cancelled"]
        assert stream.until("cancelled")
    closed_at = upstream.requests[-1].connection.wait_closed()
    assert closed_at - asked_at < 1


@pytest.mark.slow
def test_a_graph_of_langgraph() -> None:
    """A graph of async nodes, one of which has work done in a thread."""
    with gunicorn("tests.support.gevent_apps:graph_app()", worker_class="gevent") as server:
        assert ask(server, "graph", "hi", "graph") == "hi True"


@pytest.mark.slow
def test_tools_of_a_program_that_speaks_mcp(upstream: Upstream, tmp_path: Path) -> None:
    """A program is started, asked over its standard input and output, and ended with DELETE."""
    notes = tmp_path / "notes"
    env = {**upstream.environment, "NOTES": str(notes)}
    add = (ToolCalls((Call("c1", "add", '{"a": 2, "b": 3}'),)),)
    message = scripted_message(add, (Text(("Five.",)),), tag="mcp")
    with gunicorn("tests.support.mcp_app:mcp_app()", env=env, worker_class="gevent") as server:
        assert ask(server, "agents", message, "mcp") == "Five."
        assert ReadingClient(server).call("DELETE", "/session/mcp", seconds=20).json["deleted"]
        wait_for(lambda: "ended" in notes.read_text(), "the program's end")


def test_agents_may_run_loops_of_their_own(server: Gunicorn) -> None:
    """``asyncio.run`` in a generator agent works beside the host's loops, which stay hidden."""
    for number in range(3):
        reply = ask(server, "runs", "m", f"runs-{number}")
        assert reply.endswith(" and none after it"), reply


def test_a_task_that_blocks_keeps_its_loop_to_itself(server: Gunicorn) -> None:
    """Where a task waits on a lock, other loops of the thread go on, and it finds its own again."""
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda n: ask(server, "locks", "m", f"locks-{n}"), range(10)))
    assert replies == ["same"] * 10


def test_a_killed_worker_s_turns_end_at_once(server: Gunicorn, client: ReadingClient) -> None:
    """After kill -9 of a worker a reader that comes back learns that the turn is lost."""
    with client.chat("killed", {"text": "a"}, {"hold": True}, on_disconnect="continue") as stream:
        seen = stream.until("token")[-1].id
        killed_at = time.monotonic()
        os.kill(owner_pid(client, "killed"), signal.SIGKILL)
    (end,) = client.replay("killed", seen or "")
    assert end.data["code"] == "worker_lost"
    assert time.monotonic() - killed_at < LEASE_SECONDS
    wait_for(lambda: len(pids(server)) == WORKERS, "a new worker serves", 30)


def test_the_worker_is_ready_without_a_warning(server: Gunicorn) -> None:
    """``/readyz`` knows the worker's bound on requests and finds nothing wrong."""
    answer = ReadingClient(server).call("GET", "/readyz")
    assert (answer.status, answer.json["warnings"]) == (200, [])


def test_an_app_that_is_loaded_before_the_fork() -> None:
    """With preload_app gevent comes after the app's locks: its first requests do not block it.

    A refusal for want of slots says what a worker of greenlets has for threads.
    """
    connections = 8
    with gunicorn(APP_ALONE, threads=connections, args=["--preload"], worker_class="gevent") as one:
        client = ReadingClient(one)

        def start(number: int) -> Any:
            return client.call("POST", f"/chat/first-{number}", {"message": "m"}, seconds=30)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(start, range(20)))
        assert {answer.status for answer in answers} <= {200, 503}
        assert any(answer.status == 200 for answer in answers)
        with ExitStack() as stack:
            for number in range(connections - 2):
                stream = client.chat(f"held-{number}", {"text": "a"}, {"hold": True})
                assert stack.enter_context(stream).until("token")
            details = client.call("POST", "/chat/more", {"message": "m"}).json["details"]
        assert (details["setting"], details["value"]) == ("worker_connections", connections)
        assert "--worker-connections" in details["more_with"]


def test_streams_stay_greenlets_where_they_cannot_be_parked() -> None:
    """A site that asks for parked streams gets its streams, and is told once."""
    with gunicorn(APP_ALONE, delivery="parked", worker_class="gevent") as server:
        client = ReadingClient(server)
        with client.chat("parked", {"tokens": 3}) as stream:
            assert [frame.data["type"] for frame in stream][-1] == "done"
        (warning,) = client.call("GET", "/readyz").json["warnings"]
        assert warning.startswith("streams are not parked")
