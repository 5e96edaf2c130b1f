"""Every wait of a request's thread takes a slot, or a place, or is a moment long."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.security.routes import ROUTES, bearer, opened
from tests.security.samples import Target
from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn
from tests.support.waiting import wait_for

#: What in the parts that request threads run may wait, and why that is no thread for nothing.
WAITS: Final = {
    ("web/admin.py", "frames"): "an operator's stream has a slot",
    ("web/body.py", "_broken_off_after"): "a thread of its own",
    ("web/body.py", "shut_when_over"): "that thread",
    ("web/mount.py", "permit"): "gives whether there is a permit",
    ("wires/openai/routes/read.py", "read_until"): "waits with a permit, looks without one",
    ("web/turns.py", "read"): "its turn's reader has a slot",
    ("web/turns.py", "wait"): "its turn's reader has a slot",
    ("wires/native/routes/chat.py", "_chat"): "its turn's reader has a slot",
    ("wires/native/routes/probe.py", "post_probe"): "its turn's reader has a slot",
    ("wires/native/routes/websocket.py", "run"): "a WebSocket has a slot",
    ("wires/native/routes/websocket.py", "_send_events"): "a WebSocket has a slot",
    ("wires/openai/routes/socket.py", "run"): "a WebSocket has a slot",
    ("wires/openai/routes/socket.py", "_stream"): "a WebSocket has a slot",
    ("delivery/inbox.py", "_drop_input"): "a WebSocket's own thread",
    ("delivery/feed.py", "read"): "as long as its caller says, see the others",
    ("delivery/generator.py", "stream_frames"): "a stream has a slot",
    ("delivery/many_feeds.py", "read"): "a stream has a slot",
    ("delivery/polling.py", "poll_events"): "with a slot; without one it does not wait",
    ("delivery/polling.py", "await_answer"): "its turn's reader has a slot",
    ("delivery/reader.py", "read"): "as long as its caller says, see the others",
    ("auth/remote_keys.py", "_wait"): "a few threads, for keys that are not known",
}
#: Threads of their own, and what other servers' parts do.
NOT_IN_REQUESTS: Final = (
    "delivery/disconnect.py",
    "delivery/detached/parking.py",
    "delivery/detached/parked.py",
)
#: Above the wait of one who has a place of the reserve.
ENOUGH_SECONDS = 3
#: Requests that would wait long, if they were let.
PATIENT = {
    "GET /v1/responses/<response_id>": "stream=true&starting_after=9999999999",
    "GET /chat/<session_id>/poll": "after=1-1&wait=55",
}


def waiting_calls(path: Path) -> Iterator[str]:
    """The functions of a module that call what may wait."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef) and any(map(is_wait, ast.walk(function))):
            yield function.name


def is_wait(node: ast.AST) -> bool:
    """Whether this calls a wait, a sleep, or a read with a time."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, values = node.func.attr, [a.value for a in node.args if isinstance(a, ast.Constant)]
    reads = name == "read" and isinstance(node.func.value, (ast.Name, ast.Attribute))
    of_events = reads and ast.unparse(node.func.value).rpartition(".")[2] in (
        *("reader", "feed", "_feed"),
    )
    return name in ("wait", "wait_ended", "sleep", "join_thread") or (of_events and values != [0])


def test_all_waits_are_known() -> None:
    """A new wait on a request's way is written down here, with what bounds it."""
    found = set()
    for part in ("web", "delivery", "auth"):
        for path in (ROOT / "wsgi_app" / part).glob("*.py"):
            place = f"{part}/{path.name}"
            if place not in NOT_IN_REQUESTS:
                found |= {(place, name) for name in waiting_calls(path)}
    assert found <= set(WAITS), found - set(WAITS)


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A worker with threads that no stream may use."""
    env = {
        "AGENT_TOKENS": "alpha-token=alpha",
        "AGENT_STREAM_SLOTS": "2",
        "AGENT_MAX_SLOTS_PER_TENANT": "2",
        "AGENT_METRICS_LOCAL": "1",
        "AGENT_MAX_TURNS_PER_TENANT": "100",
    }
    with gunicorn("tests.support.apps:scripted_app()", threads=16, env=env) as host:
        yield host


@pytest.fixture
def full(server: Gunicorn) -> Iterator[str]:
    """A session whose turn goes on, on a worker without a slot or a place."""
    client = ReadingClient(server, "alpha-token")
    session, other = new_session(), new_session()
    with ExitStack() as stack:
        for name in (session, other):
            wait_for(lambda name=name: start(client, stack, name), "a slot")  # type: ignore[misc] # mypy cannot infer a lambda's defaults
        yield session
        client.cancel(session)
        client.cancel(other)


def start(client: ReadingClient, stack: ExitStack, session: str) -> bool:
    """Start a turn that goes on, if there is a slot."""
    stream = stack.enter_context(client.chat(session, {"text": "x"}, {"hold": 1}))
    if stream.status == 200:
        stream.until("token")
    return stream.status == 200


@pytest.mark.parametrize("name", ROUTES)
def test_no_route_waits_without_a_slot(server: Gunicorn, full: str, name: str) -> None:
    """With all slots taken every route answers at once, be it with a refusal."""
    query = PATIENT.get(name, "")
    began = time.monotonic()
    with opened(server, name, Target(full), bearer("alpha-token"), query=query) as answer:
        status = answer.status
    seconds = time.monotonic() - began
    assert status != 101, "a WebSocket without a slot"
    assert seconds < ENOUGH_SECONDS, (status, seconds)


def test_many_who_catch_up_hold_no_threads(server: Gunicorn) -> None:
    """Who asks for what is not there yet waits with a place, so that few threads do."""
    client = ReadingClient(server, "alpha-token")
    session = new_session()

    def catch_up(_: int) -> int:
        name, about = "GET /v1/responses/<response_id>", Target(session)
        with opened(server, name, about, bearer("alpha-token"), query=PATIENT[name]) as answer:
            return answer.status

    with ExitStack() as stack, ThreadPoolExecutor(48) as pool:
        wait_for(lambda: start(client, stack, session), "a slot")
        asked = [pool.submit(catch_up, number) for number in range(48)]
        wait_for(lambda: sum(one.done() for one in asked) >= 8, "some are answered", 30)
        began = time.monotonic()
        while not all(one.done() for one in asked):
            assert ReadingClient(server, None).call("GET", "/healthz").status == 200
        assert time.monotonic() - began < ENOUGH_SECONDS
        client.cancel(session)
