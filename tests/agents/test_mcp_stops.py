"""Turns with MCP servers that are stopped at any moment, on two workers: nothing is left."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.mcp_rig import served
from tests.support.processes import child_pids
from tests.support.servers import Gunicorn, Redis, gunicorn
from tests.support.sse import Frame, Stream
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

SESSIONS = 6
WARM_UP = 200
#: By how much pools of threads and connections may still grow, which only chance fills.
POOLS = 5
#: One that grows by more is full before so many rounds are over; what leaks grows in each.
ROUNDS = 4
TURNS = 500
END_SECONDS = 60
SETTLE_SECONDS = 30
MAX_PAUSE_SECONDS = 0.3
#: Before a refused request comes again.
PAUSE_SECONDS = 0.05
ENDS = ("done", "cancelled", "error")


def script(tag: str, choose: random.Random) -> str:
    """A message whose turn calls both servers, also at once; some calls never end."""
    nap = f'{{"seconds": {choose.choice([0.0, 0.05, 0.3, 30.0])}}}'
    topic = choose.choice(["tea", "for ever"])
    names = [
        ("plain", "{}"),
        ("add", '{"a": 1, "b": 1}'),
        choose.choice([("nap", nap), ("study", f'{{"topic": "{topic}"}}')]),
    ]
    calls = [Call(f"c{at}", *one) for at, one in enumerate(names)]
    return scripted_message(
        (ToolCalls((calls[0], calls[1])),),
        (ToolCalls(tuple(calls[1:])),),
        (Text(("Two.",), pace_seconds=0.01),),
        tag=tag,
    )


class Stopper:
    """Runs turns of one session, and stops them somehow. Used by one thread."""

    def __init__(self, server: Gunicorn, name: str, seed: int) -> None:
        self._client = Client(server)
        self._name = name
        self._choose = random.Random(seed)  # noqa: S311 - no secret
        self._count = 0
        self.ends: Counter[str] = Counter()

    def turn(self) -> None:
        """Run a turn to its end, cancel it, or hang up."""
        self._count += 1
        body = {
            "message": script(f"{self._name}-{self._count}", self._choose),
            "if_busy": "enqueue",
        }
        stream = self._start(body)
        time.sleep(self._choose.uniform(0, MAX_PAUSE_SECONDS))  # the random point is a moment
        if self._choose.random() < 0.3:
            stream.abort()
            self.ends["hung up"] += 1
            return
        assert self._client.call("POST", f"/chat/{self._name}/cancel").status == 200
        last = [frame.data for frame in self._rest(stream) if frame.data["type"] in ENDS][-1]
        assert last["type"] != "error", last
        self.ends[last["type"]] += 1

    def _start(self, body: dict[str, Any]) -> Stream:
        """Come again while the tenant's share of the slots is taken, by cancels that wait too."""
        deadline = time.monotonic() + END_SECONDS
        while True:
            stream = self._client.stream("POST", f"/chat/{self._name}", body, seconds=END_SECONDS)
            if stream.status == 200:
                return stream
            with stream:
                refused = stream.json()
            assert refused["code"] == "too_many_readers", refused
            assert time.monotonic() < deadline, refused
            time.sleep(PAUSE_SECONDS)

    def _rest(self, stream: Stream) -> list[Frame]:
        frames = list(stream)
        stream.close()
        return frames

    def delete(self) -> None:
        """Delete the session."""
        assert (
            self._client.call("DELETE", f"/session/{self._name}", seconds=END_SECONDS).status == 200
        )


def run_turns(server: Gunicorn, turns: int, seed: int) -> Counter[str]:
    """Run turns in sessions at the same time, and delete these."""
    stoppers = [Stopper(server, f"s-{seed}-{at}", seed + at) for at in range(SESSIONS)]

    def run(stopper: Stopper) -> None:
        for _ in range(turns // SESSIONS + 1):
            stopper.turn()
        stopper.delete()

    with ThreadPoolExecutor(SESSIONS) as threads:
        list(threads.map(run, stoppers))
    return sum((stopper.ends for stopper in stoppers), Counter())


def left(server: Gunicorn, redis: Redis) -> dict[str, int]:
    """What the workers, and Redis for them, hold."""
    pids = server.worker_pids()
    with redis.client() as client:
        connections = client.info("clients")["connected_clients"]
    return {
        "programs": sum(len(child_pids(pid)) for pid in pids),
        "threads": sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
        "files": sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
        "connections": connections,
    }


def grown(server: Gunicorn, redis: Redis, before: dict[str, int]) -> dict[str, int]:
    """What there is more of than before, beyond chance, once all programs have ended."""

    def more() -> dict[str, int]:
        now = left(server, redis)
        found = {name: now[name] - before[name] for name in now if now[name] - before[name] > POOLS}
        return {"programs": now["programs"]} if now["programs"] else found

    with suppress(AssertionError):
        wait_for(lambda: not more(), "no more than before", SETTLE_SECONDS)
    return more()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_left_of_stopped_turns(tmp_path: Path, redis: Redis) -> None:
    """Of 500 turns, stopped at random on two workers, no program, thread, file or connection."""
    notes = tmp_path / "notes"
    with Upstream() as upstream, served(notes) as (_, url):
        env: dict[str, Any] = {
            **upstream.environment,
            "NOTES": str(notes),
            "MCP_URL": url,
            "AGENT_REDIS_URL": redis.url,
            "AGENT_RATE_LIMIT": "100000/minute",
            "AGENT_ORPHAN_SECONDS": "0.1",
            # Starts in a moment: a session that comes to the other worker has a new one there.
            "MCP_PROGRAM": "mcp_task_server.py",
        }
        app = "tests.support.mcp_app:mcp_app()"
        with gunicorn(app, workers=2, threads=16, env=env) as server:
            run_turns(server, WARM_UP, seed=1)
            wait_for(lambda: left(server, redis)["programs"] == 0, "no program", END_SECONDS)
            found = []
            for number in range(1, ROUNDS + 1):
                before = left(server, redis)
                ends = run_turns(server, TURNS, seed=100 * number)
                assert min(ends["cancelled"], ends["hung up"]) > TURNS // 10, ends
                wait_for(lambda: upstream.busy == 0, "no request at the provider", END_SECONDS)
                found.append(grown(server, redis, before))
                if not found[-1]:
                    break
            assert not found[-1], found
            assert len(server.worker_pids()) == 2
