"""What a turn costs in Redis commands, counted by the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Redis, gunicorn, redis_server
from tests.support.service import Service, service
from tests.support.waiting import wait_for
from wsgi_app.events import LOST_SEQ, EventId

STREAMS = 100
TOKENS_PER_SECOND = 50
SECONDS = 4


@pytest.mark.slow
def test_commands_per_token() -> None:
    """With 100 streams at 50 tokens a second, clients send at most 0.2 commands a token."""
    with service(hosts=1, workers=2, env={"AGENT_STREAM_SLOTS": "200"}) as shared:
        steps = {"tokens": TOKENS_PER_SECOND * SECONDS, "pause": 1 / TOKENS_PER_SECOND}
        with counting(shared.store) as counter, ExitStack() as stack:
            chats = [
                stack.enter_context(shared.client.chat(f"c-{n}", steps)) for n in range(STREAMS)
            ]
            for stream in chats:
                assert stream.until("done")
        tokens = STREAMS * TOKENS_PER_SECOND * SECONDS
        assert counter.commands / tokens <= 0.2, f"{counter.commands} for {tokens} tokens"


@pytest.mark.slow
def test_idle_streams_cost_nothing_but_the_heartbeat() -> None:
    """Thirty open streams without events cost what one costs: the worker's heartbeat."""
    with (
        service(hosts=1, workers=1, env={"AGENT_LEASE_SECONDS": "2"}) as shared,
        ExitStack() as stack,
    ):
        stack.enter_context(shared.client.chat("idle", {"hold": True})).wait_comments(1)
        settle(shared)
        one = commands_in(shared, 6)
        for number in range(29):
            stream = stack.enter_context(shared.client.chat(f"idle-{number}", {"hold": True}))
            stream.wait_comments(1)
        settle(shared)
        thirty = commands_in(shared, 6)
        beats = 6 / (2 * 3 / 10)
        assert thirty <= one + beats / 2, f"{one} commands with one stream, {thirty} with thirty"


def test_a_reader_loads_no_history() -> None:
    """What asks for the events behind one costs Redis these, however long the conversation is."""
    env = {"AGENT_TOKENS": "dev=demo-tenant"}
    with redis_server() as store:
        env["AGENT_REDIS_URL"] = store.url
        with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
            client, session = ReadingClient(server), new_session()
            assert client.chat_json(session, {"blobs": 20}).status == 200
            end = EventId(1, LOST_SEQ - 1)
            before = sent_bytes(store)
            for _ in range(5):
                assert client.poll(session, str(end), 0)["events"] == []
                assert (
                    client.call("GET", f"/chat/{session}/events?last_event_id={end}").status == 204
                )
                assert client.call("GET", f"/ai-sdk/chat/{session}/stream").status == 204
            assert sent_bytes(store) - before < 200_000


def sent_bytes(store: Redis) -> int:
    """What Redis has sent to all its clients."""
    with store.client() as client:
        return int(client.info("stats")["total_net_output_bytes"])


class Counter:
    """Counts commands in a thread of its own; read when that has ended."""

    def __init__(self) -> None:
        self.commands = 0
        self.ready = threading.Event()
        self.stop = threading.Event()

    def run(self, store: Redis) -> None:
        """Count what clients send; what their scripts call is marked "lua"."""
        with store.client() as client, client.monitor() as monitor:
            self.ready.set()
            while not self.stop.is_set():
                self.commands += monitor.next_command()["client_type"] != "lua"


@contextmanager
def counting(store: Redis) -> Iterator[Counter]:
    """Count the commands that come while the block lasts."""
    counter = Counter()
    thread = threading.Thread(target=counter.run, args=(store,))
    thread.start()
    assert counter.ready.wait(10)
    yield counter
    counter.stop.set()
    with store.client() as client:
        client.ping()  # wakes the monitor
    thread.join(10)


def settle(shared: Service) -> None:
    """Wait until the starts of turns are through."""
    wait_for(lambda: commands_in(shared, 1) < 12, "only heartbeats", 20)


def commands_in(shared: Service, seconds: float) -> int:
    """Count the commands of a while."""
    with counting(shared.store) as counter:
        deadline = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > deadline, "the time is over", seconds + 5)
    return counter.commands
