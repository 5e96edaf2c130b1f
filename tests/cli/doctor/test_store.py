"""Faults of the Redis that the workers share, and of their clocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.doctor.running import run_doctor
from tests.support.servers import Redis, gunicorn, redis_server
from tests.support.service import CONFIG
from tests.support.waiting import wait_for
from wsgi_app.cli.doctor.store_checks import REDIS_CHECKS, check_clocks
from wsgi_app.store.base import WorkerInfo, WorkerView
from wsgi_app.store.redis import RedisStore
from wsgi_app.store.redis.facts import RedisFacts, examine_redis

GOOD = RedisFacts("redis", "7.0.15", "noeviction", 1_000_000, 0, 0.0002, 0.01)
#: The project's configuration, in a worker whose clock is ahead: libfaketime, which would shift a
#: whole process, breaks `time.sleep` of Python 3.11.
SHIFT_SECONDS = 90
SHIFTED = f"""
exec(open({str(CONFIG)!r}).read())

def post_fork(server, worker):
    import time
    real = time.time
    time.time = lambda: real() + {SHIFT_SECONDS}
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A Redis that evicts."""
    with redis_server(args=("--maxmemory-policy", "allkeys-lru")) as server:
        yield server


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("redis_version", GOOD._replace(version="6.0.16")),
        ("redis_policy", GOOD._replace(policy="volatile-lru")),
        ("redis_memory", GOOD._replace(max_bytes=1_100_000)),
        ("redis_latency", GOOD._replace(latency_seconds=0.03)),
    ],
)
def test_each_fault_of_redis_is_reported(name: str, facts: RedisFacts) -> None:
    """Each fault is found alone; a good server has none."""
    assert not [finding for check in REDIS_CHECKS for finding in check(GOOD)]
    assert [finding.check for check in REDIS_CHECKS for finding in check(facts)] == [name]


def test_skews_are_reported_by_their_machine() -> None:
    """A clock that differs from Redis's by more than two seconds is named, and by how much."""
    late = WorkerView(worker_id="a", seen_at=100.0, info=WorkerInfo(hostname="late", sent_at=40.0))
    fine = WorkerView(worker_id="b", seen_at=100.0, info=WorkerInfo(hostname="fine", sent_at=99.0))
    [finding] = check_clocks([GOOD], [late, fine], "here")
    assert "late" in finding.where
    assert "60.0 s behind" in finding.problem
    [here] = check_clocks([GOOD._replace(clock_offset_seconds=-7.0)], [fine], "here")
    assert "this machine (here) is 7.0 s ahead" in here.problem


def test_what_a_server_reports_of_itself(redis: Redis) -> None:
    """The facts are the server's own; its clock is this machine's."""
    [facts] = examine_redis(redis.url)
    assert facts.policy == "allkeys-lru"
    assert facts.version.count(".") == 2
    assert facts.used_bytes > 0
    assert abs(facts.clock_offset_seconds) < 1


def test_redis_that_evicts(redis: Redis) -> None:
    """With a Redis that drops keys, sessions would be dropped."""
    found = run_doctor(env={"AGENT_REDIS_URL": redis.url})
    assert found.names == {"redis_policy"}
    assert "allkeys-lru" in found.findings["redis_policy"]["problem"]


@pytest.mark.slow
def test_worker_whose_clock_is_ahead(tmp_path: Path) -> None:
    """A worker whose clock is 90 s ahead of Redis's tells so with its heartbeat."""
    shifted = tmp_path / "shifted.py"
    shifted.write_text(SHIFTED)
    with redis_server() as server:
        env = {"AGENT_REDIS_URL": server.url, "AGENT_TOKENS": "dev=demo-tenant"}
        store = RedisStore(server.url, namespace="wsgi_app.standalone")
        with (
            gunicorn(workers=1, threads=None, config=CONFIG, env=env) as right,
            gunicorn(workers=1, threads=None, config=shifted, env=env) as wrong,
        ):
            wait_for(lambda: len(store.workers()) == 2, "both workers have signed on", 30)
            found = run_doctor(env=env)
            [pid] = wrong.worker_pids()
            assert found.names == {"clock_skew"}
            finding = found.findings["clock_skew"]
            assert str(pid) in finding["where"]
            assert f"{SHIFT_SECONDS}.0 s ahead" in finding["problem"]
            assert right.running()
        store.close()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--user", "agents", "on", ">pw", "~*", "+@all", "resetchannels"), "&agent@"),
        (("--maxmemory", "1", "--user", "agents", "on", ">pw", "~*", "&*", "+@all"), "maxmemory"),
    ],
)
def test_redis_that_refuses(args: tuple[str, ...], told: str) -> None:
    """A Redis that lets the user not do what a host needs, or takes no writes, is named."""
    with redis_server(args=args) as server:
        url = f"redis://agents:pw@127.0.0.1:{server.port}"
        found = run_doctor(env={"AGENT_REDIS_URL": url, "AGENT_TOKENS": "dev=demo-tenant"})
    assert found.names == {"redis_refuses"}
    finding = found.findings["redis_refuses"]
    assert told in finding["problem"] + finding["change"]
