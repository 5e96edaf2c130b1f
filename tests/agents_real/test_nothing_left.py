"""What is left of a session that was deleted, and of many turns that were stopped."""

from __future__ import annotations

import random
import secrets
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.agents_real.remembering import Remembering, remembering, say, start_turn
from tests.support.postgres import program
from tests.support.processes import child_pids
from tests.support.reading import ReadingClient
from tests.support.remembering_app import AGENTS
from tests.support.upstream_script import (
    Call,
    Script,
    Stall,
    Text,
    ToolCalls,
    Usage,
    scripted_message,
)
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

SECONDS: Final = 60
TURNS: Final = 500
SESSIONS: Final = 40
AT_ONCE: Final = 8
#: Passing sessions are there for a minute, for clients that come back.
PASSING_SECONDS: Final = 120


@pytest.fixture(scope="module")
def rig() -> Iterator[Remembering]:
    """Two workers, with Redis, Postgres and nginx."""
    with remembering(AGENT_ORPHAN_SECONDS="0.2") as running:
        yield running


@pytest.fixture(autouse=True)
def _before_processes(rig: Remembering) -> None:
    """Have the deployment there before a test looks for processes that it has left."""


def found_in_postgres(rig: Remembering, text: str) -> bool:
    """Whether a row of any table holds a text, also as a part of what is no text."""
    dumping = [program("pg_dump"), "--data-only", f"postgresql://{rig.database.address}"]
    dump = subprocess.run(dumping, check=True, capture_output=True, timeout=SECONDS).stdout
    return text.encode() in dump or text.encode().hex().encode() in dump


def found_in_redis(rig: Remembering, text: str) -> list[bytes]:
    """The keys that hold a text."""
    with rig.service.store.client() as redis:
        return [
            key
            for key in redis.scan_iter(count=1000)
            if text.encode() in redis_value(redis, key) or text.encode() in key
        ]


def redis_value(redis: Any, key: bytes) -> bytes:
    """All that a key holds."""
    kind = redis.type(key)
    if kind == b"string":
        return redis.get(key) or b""
    if kind == b"list":
        return b" ".join(redis.lrange(key, 0, -1))
    if kind == b"hash":
        return b" ".join(part for pair in redis.hgetall(key).items() for part in pair)
    assert kind in (b"zset", b"none"), kind
    return b" ".join(redis.zrange(key, 0, -1)) if kind == b"zset" else b""


def found_in_files(folder: Path, text: str) -> list[str]:
    """The files that hold a text; of a database what its rows hold."""
    found = []
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                held = "\n".join(connection.iterdump()).encode()
        elif ".db-" in path.name:
            continue  # a database's own log
        else:
            held = path.read_bytes()
        if text.encode() in held or text.encode().hex().upper().encode() in held:
            found.append(str(path))
    return found


def places_of(rig: Remembering, text: str) -> dict[str, Any]:
    """Where a text is found."""
    places = {
        "postgres": found_in_postgres(rig, text),
        "redis": found_in_redis(rig, text),
        "files": found_in_files(rig.folder, text),
        "log": text in rig.service.log() or text in rig.service.proxy.log(),
    }
    return {name: found for name, found in places.items() if found}


def test_nothing_is_left_of_a_deleted_session(rig: Remembering) -> None:
    """Neither what the user wrote and saw, in whole turns and stopped ones, nor of passing ones."""
    secret = f"secret{secrets.token_hex(8)}"
    stock = (ToolCalls((Call("c1", "stock", f'{{"article": "{secret}"}}'),)),)
    half: Script = (Text((f"Half {secret}",)), Stall())
    for name in AGENTS:
        client = rig.client(name)
        say(client, "deleted", stock, (Text((secret,)),), tag=f"{secret}-1")
        start_turn(client, "deleted", scripted_message(half, tag=f"{secret}-2"))
        wait_for(lambda: client.session("deleted")["state"] == "running", "it runs", SECONDS)  # noqa: B023 - it is called at once
        passing = {"model": "m", "messages": [{"role": "user", "content": f"hi {secret}"}]}
        assert client.call("POST", "/v1/chat/completions", passing, seconds=60).status == 200
    places = places_of(rig, secret)
    assert {"postgres", "redis", "files"} <= set(places), places
    for name in AGENTS:
        assert rig.client(name).call("DELETE", "/session/deleted", seconds=60).json["deleted"]
    wait_for(lambda: not places_of(rig, secret), "nothing is left", PASSING_SECONDS)


#: Pairs of calls, and what they are given.
CALLS: Final = {
    "openai-mcp": [
        ("add", '{"a": 1, "b": 2}'),
        ("nap", '{"seconds": 0.3}'),
        ("block", '{"seconds": 0.2}'),
    ],
    "": [(tool, '{"article": "tea"}') for tool in ("stock", "hang", "ask")],
}


def random_scripts(choose: random.Random, agent: str, tag: str) -> tuple[Script, ...]:
    """A turn with text, or two tools at once and text."""
    text = (Text(tuple(f"{word} " for word in tag.split("-") * 5), pace_seconds=0.01), Usage(1, 1))
    if choose.random() < 0.4:
        return (text,)
    quick, *slow = CALLS.get(agent, CALLS[""])
    chosen = [quick, choose.choice([quick, *slow])]
    calls = tuple(Call(f"{tag}-{place}", *call) for place, call in enumerate(chosen))
    return (ToolCalls(calls),), text


def run_turn(rig: Remembering, agent: str, number: int) -> None:
    """Begin a turn and stop it somewhere, by a cancel, a hang-up, or not at all."""
    choose = random.Random(number)  # noqa: S311 - no secret
    client, session = rig.client(agent), f"many-{number % SESSIONS}"
    message = scripted_message(*random_scripts(choose, agent, f"t-{number}"), tag=str(number))
    body = {"message": message, "if_busy": "interrupt"}
    with client.stream("POST", f"/chat/{session}", body) as stream:
        assert stream.status == 200, stream.status
        ends_at = time.monotonic() + choose.uniform(0, 0.6)
        with suppress(TimeoutError):
            while (left := ends_at - time.monotonic()) > 0 and stream.next(left) is not None:
                pass
        if choose.random() < 0.6:
            client.cancel(session)


def run_turns(rig: Remembering, agents: Sequence[str], numbers: range) -> None:
    """Run them, some at a time, with each agent in turn; those of a session in any order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda n: run_turn(rig, agents[n % len(agents)], n), numbers))


def sessions_of(rig: Remembering, agents: Sequence[str]) -> list[tuple[ReadingClient, str]]:
    """The sessions of these turns, and a client of each one's agent."""
    names = [f"many-{number}" for number in range(SESSIONS)]
    return [(rig.client(agents[n % len(agents)]), name) for n, name in enumerate(names)]


def held(rig: Remembering) -> dict[str, int]:
    """What the workers hold."""
    pids = rig.worker_pids()
    return {
        "threads": sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
        "files": sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
        "processes": sum(len(child_pids(pid)) for pid in pids),
        "requests": rig.upstream.busy,
    }


@pytest.mark.parametrize(
    "agents",
    [
        ("graph-async-postgres",),
        ("graph-postgres",),
        ("sdk-session",),
        ("openai-mcp",),
        ("graph-async-postgres", "openai-mcp"),
    ],
    ids="+".join,
)
def test_many_stopped_turns_leave_nothing(rig: Remembering, agents: tuple[str, ...]) -> None:
    """No process, thread, connection or row after many turns with random stops."""
    workers = rig.worker_pids()
    run_turns(rig, agents, range(60))
    for client, session in sessions_of(rig, agents):
        client.cancel(session)
    time.sleep(1)  # what the pools of threads and connections hold when nothing is to be done
    before, connections = held(rig), rig.database.connections()
    run_turns(rig, agents, range(60, 60 + TURNS))
    for client, session in sessions_of(rig, agents):
        answer = client.call("DELETE", f"/session/{session}", seconds=60)
        assert answer.status == 200, answer.body
    wait_for(lambda: less(held(rig), before), f"no more than before: {before}", SECONDS)
    assert rig.database.connections() <= max(connections, 2 * POOL)
    assert rig.worker_pids() == workers
    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    rows = {table: rig.database.ask(f"select count(*) from {table}") for table in tables}  # noqa: S608 - the names are ours
    assert set(rows.values()) == {"0"}, rows
    if "sdk-session" in agents:
        with closing(sqlite3.connect(rig.folder / "sdk.db")) as connection:
            assert connection.execute("select count(*) from agent_messages").fetchone() == (0,)
    assert threading.active_count() < 50


POOL: Final = 4
#: The server's pool of threads and those of connections grow with how many requests come at once;
#: one that each fiftieth turn leaves behind would be ten.
SLACK: Final = {"threads": 8, "files": 8}


class Fewer(dict[str, Any]):
    """True when it is empty, so that a wait's last value tells what is too much."""

    def __bool__(self) -> bool:
        return not len(self)


def less(now: dict[str, int], before: dict[str, int]) -> Fewer:
    """What is more than it was."""
    more = {name: now[name] - before[name] for name in now}
    return Fewer({name: n for name, n in more.items() if n > SLACK.get(name, 0)})
