"""The figures under "Sizing" in deploy/README.md, measured again.

``pytest -m "" -s tests/deploy/test_sizing.py`` prints what it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Redis, gunicorn, redis_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FEW_STREAMS, MANY_STREAMS = 100, 500
TURNS = 200
FEW_TOKENS, MANY_TOKENS = 10, 210
#: How far a figure may be from what is measured on another machine, in another run.
TOLERANCE = 1.5


@pytest.fixture(scope="module")
def store() -> Iterator[Redis]:
    """A Redis of its own: what it holds is counted."""
    with redis_server() as store:
        yield store


@contextmanager
def running(store: Redis, delivery: str) -> Iterator[Gunicorn]:
    """One worker with threads for all streams."""
    env = {"AGENT_REDIS_URL": store.url, "AGENT_MAX_TURNS_PER_TENANT": "10000"}
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, threads=MANY_STREAMS + 100, env=env, delivery=delivery) as host:
        yield host


def documented(what: str) -> float:
    """The figure of a row in the table of sizes."""
    text = (ROOT / "deploy" / "README.md").read_text()
    [figure] = re.findall(rf"^\| {re.escape(what)} \| ([0-9.]+) kB \|", text, re.MULTILINE)
    return float(figure)


def check(what: str, kilobytes: float) -> None:
    """Print what was measured, and compare it with what is documented."""
    print(f"\n{what}: {kilobytes:.2f} kB")  # noqa: T201 - what the file is for
    assert documented(what) / TOLERANCE < kilobytes < documented(what) * TOLERANCE


@pytest.mark.parametrize(
    ("delivery", "what"),
    [("thread", "an idle stream in threads"), ("parked", "an idle stream that is parked")],
)
def test_memory_of_a_stream(store: Redis, delivery: str, what: str) -> None:
    """What a worker's memory grows by with each idle stream and its turn."""
    sizes = {}
    with running(store, delivery) as host, ExitStack() as stack:
        client = ReadingClient(host)
        [pid] = host.worker_pids()
        for number in range(MANY_STREAMS):
            stream = stack.enter_context(client.chat(f"{delivery}-{number}", {"hold": True}))
            stream.wait_comments(1)
            sizes[number + 1] = resident_kilobytes(pid)
    growth = sizes[MANY_STREAMS] - sizes[FEW_STREAMS]
    check(f"{what}, with its turn, in its worker", growth / (MANY_STREAMS - FEW_STREAMS))


def test_memory_of_a_turn_in_redis(store: Redis) -> None:
    """What Redis' memory grows by with a turn, and with each of its tokens."""
    with running(store, "thread") as host:
        few = redis_kilobytes_per_turn(host, store, FEW_TOKENS)
        many = redis_kilobytes_per_turn(host, store, MANY_TOKENS)
    token = (many - few) / (MANY_TOKENS - FEW_TOKENS)
    check("a token, in Redis", token)
    check("a session of one turn without tokens, in Redis", few - token * FEW_TOKENS)


def redis_kilobytes_per_turn(host: Gunicorn, store: Redis, tokens: int) -> float:
    """Run turns of so many tokens, each in a new session."""
    client = ReadingClient(host)

    def run(number: int) -> None:
        with client.chat(f"turn-{tokens}-{number}", {"tokens": tokens, "pause": 0.005}) as stream:
            assert stream.until("done")

    run(TURNS)
    before = used_kilobytes(store)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(run, range(TURNS)))
    return (used_kilobytes(store) - before) / TURNS


def resident_kilobytes(pid: int) -> float:
    """What a process holds of the machine's memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kibibytes] = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) * 1.024


def used_kilobytes(store: Redis) -> float:
    """What Redis has allocated for data."""
    with store.client() as client:
        return float(client.info("memory")["used_memory_dataset"]) / 1000
