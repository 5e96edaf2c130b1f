"""What a turn costs in Redis commands, counted by the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.resumed import APP, StepUpstream, call
from tests.support.servers import Gunicorn, Redis, gunicorn, redis_server
from tests.support.service import Service, service
from tests.support.upstream_script import Text, scripted_message
from tests.support.waiting import wait_for
from wsgi_app.events import LOST_SEQ, EventId

STREAMS = 100
TOKENS_PER_SECOND = 50
SECONDS = 4
#: What each costs on a worker that does not run the turn. A resume looks once more when its client
#: has gone; a cancel is its flag, the look at its end, and the owner's end of it.
ROUND_TRIPS = {"poll": 2, "resume": 3, "cancel": 3}
#: A start and an end.
TURN_ROUND_TRIPS = 2
#: A start's and an end's in their five scripts, those among them; 125 before a script kept what it
#: had read.
SCRIPTS_COMMANDS = 90
#: Three for a turn's start, one for each of two calls and their results, two for its end, and the
#: look at it afterwards.
STEPS_COMMANDS = 10
#: What a counter reads last: on a busy machine it is behind the commands that it counts.
END_OF_COUNT = "end-of-count"
#: So many looks in a row find nothing new: for longer than the journal waits.
QUIET_LOOKS = 50


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


def test_a_reader_costs_the_same_whatever_the_history() -> None:
    """A poll, a resume and a cancel cost few round trips, and no more after thirty exchanges."""
    with elsewhere() as (owner, other, store):
        costs = []
        for turns in (1, 1, 30):
            session = new_session()
            for _ in range(turns):
                assert owner.chat_json(session, {"tokens": 50}).status == 200
            with owner.chat(session, {"tokens": 1}, {"hold": True}) as held:
                held.until("token")
                costs.append(cost_of_readers(other, store, session, turns + 1))
        _, few, many = costs  # with the first, the worker connects and signs on
        for name, (trips, sent) in few.items():
            assert trips <= ROUND_TRIPS[name], (name, costs)
            assert many[name].round_trips == trips, (name, costs)
            assert abs(many[name].sent - sent) < 500, (name, costs)


def cost_of_readers(other: ReadingClient, store: Redis, session: str, turn: int) -> dict[str, Cost]:
    """Round trips and bytes of what a reader asks of a worker that does not run the turn."""

    def resume() -> None:
        with other.events(session, f"{turn}-1") as stream:
            stream.wait_comments(1)

    with store.client() as client:
        wait_quiet(client)
        return {
            "poll": cost(client, lambda: other.poll(session, f"{turn}-1", 0)),
            # The most of some: who is gone before the store was read costs less.
            "resume": max(cost(client, resume) for _ in range(3)),
            "cancel": cost(client, lambda: other.cancel(session)),
        }


@contextmanager
def elsewhere() -> Iterator[tuple[ReadingClient, ReadingClient, Redis]]:
    """Two workers whose heartbeats are rare, and their Redis."""
    env = {"AGENT_TOKENS": "dev=demo-tenant", "AGENT_LEASE_SECONDS": "200"}
    with redis_server() as store:
        env["AGENT_REDIS_URL"] = store.url
        app = "tests.support.apps:scripted_app()"
        with gunicorn(app, env=env) as first, gunicorn(app, env=env) as second:
            yield ReadingClient(first), ReadingClient(second), store


def test_a_short_turn_takes_two_round_trips() -> None:
    """A turn that ends before its journal's first flush costs Redis its start and its end."""
    with elsewhere() as (owner, _, store), store.client() as client:
        session = new_session()
        assert owner.chat_json(session).status == 200
        wait_quiet(client)
        for _ in range(3):
            spent = cost(client, lambda: owner.chat_json(session, {"tokens": 3}))
            assert spent.round_trips == TURN_ROUND_TRIPS


def test_a_short_turn_runs_few_commands() -> None:
    """Its scripts read a session's fields once, and together: each command costs 2 µs of Redis."""
    with elsewhere() as (owner, _, store):
        session = new_session()
        assert owner.chat_json(session).status == 200
        with store.client() as client:
            wait_quiet(client)
            client.config_resetstat()
            assert owner.chat_json(session, {"tokens": 3}).status == 200
            wait_quiet(client)
            stats = client.info("commandstats")
        calls = {name[len("cmdstat_") :]: one["calls"] for name, one in stats.items()}
        own = {"info", "config|resetstat"}  # this test's
        commands = sum(count for name, count in calls.items() if name not in own)
        assert commands <= SCRIPTS_COMMANDS, calls


class Cost(NamedTuple):
    """How often Redis read from its clients, and how many bytes it sent them."""

    round_trips: int
    sent: int


def cost(client: Any, act: Callable[[], object]) -> Cost:
    """What an act costs, from a quiet moment until nothing more comes of it."""
    first, second = look(client), look(client)
    own = Cost(second.round_trips - first.round_trips, second.sent - first.sent)  # of a look
    act()
    last, looks = wait_quiet(client)
    return Cost(
        last.round_trips - second.round_trips - looks * own.round_trips,
        last.sent - second.sent - looks * own.sent,
    )


def wait_quiet(client: Any) -> tuple[Cost, int]:
    """Wait until Redis reads nothing but the looks at it; returns the last one and their number."""
    looks: list[Cost] = []

    def is_quiet() -> bool:
        looks.append(look(client))
        trips = [one.round_trips for one in looks[-QUIET_LOOKS:]]
        return len(trips) == QUIET_LOOKS and trips[-1] - trips[0] == QUIET_LOOKS - 1

    wait_for(is_quiet, "nothing more comes of it")
    return looks[-1], len(looks)


def look(client: Any) -> Cost:
    """What has been counted until now; this look is counted by the next."""
    stats = client.info("stats")
    return Cost(stats["total_reads_processed"], stats["total_net_output_bytes"])


def sent_bytes(store: Redis) -> int:
    """What Redis has sent to all its clients."""
    with store.client() as client:
        return int(client.info("stats")["total_net_output_bytes"])


class Counter:
    """Counts commands in a thread of its own; read when that has ended."""

    def __init__(self) -> None:
        self.commands = 0
        self.ready = threading.Event()

    def run(self, store: Redis) -> None:
        """Count what clients send, up to the mark; what their scripts call is marked "lua"."""
        with store.client() as client, client.monitor() as monitor:
            self.ready.set()
            while (seen := monitor.next_command())["command"] != f"ECHO {END_OF_COUNT}":
                self.commands += seen["client_type"] != "lua"


@contextmanager
def counting(store: Redis) -> Iterator[Counter]:
    """Count the commands that come while the block lasts."""
    counter = Counter()
    thread = threading.Thread(target=counter.run, args=(store,))
    thread.start()
    assert counter.ready.wait(10)
    try:
        yield counter
    finally:
        with store.client() as client:
            client.echo(END_OF_COUNT)
        thread.join(10)
    assert not thread.is_alive(), "the counter has read all"


def settle(shared: Service) -> None:
    """Wait until the starts of turns are through."""
    wait_for(lambda: commands_in(shared, 1) < 12, "only heartbeats", 20)


def commands_in(shared: Service, seconds: float) -> int:
    """Count the commands of a while."""
    with counting(shared.store) as counter:
        deadline = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > deadline, "the time is over", seconds + 5)
    return counter.commands


def test_a_resuming_turn_writes_nothing_of_its_own(tmp_path: Path) -> None:
    """What another worker goes on with costs a command for each call and result, none a token."""
    with StepUpstream() as upstream, redis_server() as store:
        env = {**upstream.environment, "TEST_EFFECTS": str(tmp_path / "effects")}
        env |= {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": "dev=demo-tenant"}
        env |= {"AGENT_LEASE_SECONDS": "600", "AGENT_MAX_ATTEMPTS": "2"}
        with gunicorn(APP, env=env) as server:
            costs = [commands_of_turn(server, store) for _ in range(7)]
    # A turn that takes longer has writes of the journal's own rhythm as well.
    assert min(costs) <= STEPS_COMMANDS, costs


def commands_of_turn(server: Gunicorn, store: Redis) -> int:
    """Count the commands of a turn of three steps, two of which have calls, and 100 tokens."""
    session = new_session()
    text = scripted_message(
        [Text(("a ",) * 50), call(1, "charge", "a")],
        [Text(("b ",) * 50), call(2, "look_up", "b")],
        [Text(("All done.",))],
        tag=session,
    )
    client = ReadingClient(server)
    with (
        counting(store) as counter,
        client.stream("POST", f"/chat/{session}", {"message": text}) as s,
    ):
        assert s.until("done")
        client.wait_idle(session)
    return counter.commands
