"""How soon a cancel or a hang-up reaches the model provider, and a resume its first event.

Two hosts of one worker each share a Redis: a turn runs on the first, and is cancelled, or read on,
through the second. Streams on both go on beside.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from bench.programs import Programs, Upstream
from bench.report import markdown
from bench.servers import PEERS
from bench.stage import HEADERS, Setup, environment, staged
from bench.works import Row, Tell, Work

NAME, VALUE = HEADERS[0].split(": ")
PATIENCE_SECONDS: Final = 30.0
#: So long a reader is away, and misses events.
AWAY_SECONDS: Final = 0.1
TOKENS_BEFORE: Final = 3


class Hosts(NamedTuple):
    """Where turns run, where the others ask, and where the model is."""

    owner_port: int
    other_port: int
    upstream: Upstream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    add("--servers", default="host,host-parked", help="which are measured")
    add("--streams", type=int, default=50, help="at 20 ms per token, that go on beside")
    add("--trials", type=int, default=60, help="of each")
    add("--far-trials", type=int, default=1, help="of a hang-up on the other worker: a lease each")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Try each reaction again and again."""
    rows = []
    for server in options.servers.split(","):
        with _two_hosts(programs, server, options.streams) as hosts:
            for name, try_once in REACTIONS.items():
                trials = options.far_trials if try_once is _far_disconnect else options.trials
                took = [try_once(hosts, f"{name}-{number}") for number in range(trials)]
                if not took:
                    continue
                rows.append(_row(server, name, took))
                tell(
                    f"{PEERS[server].label}, {LABELS[name]}: p50 {rows[-1]['p50_ms']:.1f} ms, "
                    f"p99 {rows[-1]['p99_ms']:.1f} ms"
                )
    return rows


def table(rows: list[Row]) -> str:
    """Medians, worst and number in Markdown."""
    lines = [
        (
            PEERS[row["server"]].label,
            LABELS[row["reaction"]],
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            str(row["trials"]),
        )
        for row in rows
    ]
    return markdown(("server", "from … to", "p50 ms", "p99 ms", "trials"), lines)


@contextmanager
def _two_hosts(programs: Programs, server: str, streams: int) -> Iterator[Hosts]:
    setup = Setup(server, streams + 20, workers=1)
    with ExitStack() as stack:
        stage = stack.enter_context(staged(programs, setup))
        assert stage.upstream is not None  # noqa: S101 - OpenAIAgent has one; tells the type checker
        env = environment(setup, stage.redis, stage.upstream)
        other = stack.enter_context(PEERS[server].run(1, setup.streams, env))
        stack.enter_context(programs.background(stage.target(), streams))
        yield Hosts(stage.port, other.port, stage.upstream)


def _cancel(hosts: Hosts, session: str) -> float:
    with _reading(hosts, session):
        hosts.upstream.take_stats()
        asked_ns = time.monotonic_ns()
        _cancel_turn(hosts, session)
        return _cut_after_ms(hosts, asked_ns)


def _disconnect(hosts: Hosts, session: str) -> float:
    with _reading(hosts, session) as reader:
        hosts.upstream.take_stats()
        left_ns = time.monotonic_ns()
        reader.close()
        return _cut_after_ms(hosts, left_ns)


def _far_disconnect(hosts: Hosts, session: str) -> float:
    with _reading(hosts, session) as reader:
        far = EventReader(hosts.other_port, "GET", f"/chat/{session}/events")
        far.read_event()
        reader.close()
        hosts.upstream.take_stats()
        left_ns = time.monotonic_ns()
        far.close()
        return _cut_after_ms(hosts, left_ns)


def _resume(hosts: Hosts, session: str) -> float:
    with _reading(hosts, session, on_disconnect="continue") as reader:
        last_id = reader.last_id
        reader.close()
        time.sleep(AWAY_SECONDS)
        asked_ns = time.monotonic_ns()
        far = EventReader(hosts.other_port, "GET", f"/chat/{session}/events", last_id)
        far.read_event()
        took_ms = (time.monotonic_ns() - asked_ns) / 1e6
        _cancel_turn(hosts, session)
        far.close()
        return took_ms


LABELS: Final = {
    "cancel": "cancel on the other worker to the provider's connection closed",
    "disconnect": "hang-up of the only reader to the provider's connection closed",
    "far-disconnect": "the same, the last reader on the other worker (its lease ends)",
    "resume": "resume on the other worker to the first missed event",
}
REACTIONS: Final[dict[str, Callable[[Hosts, str], float]]] = {
    "cancel": _cancel,
    "disconnect": _disconnect,
    "far-disconnect": _far_disconnect,
    "resume": _resume,
}


class EventReader:
    """One client's stream."""

    def __init__(
        self, port: int, method: str, path: str, last_id: str = "", body: str | None = None
    ) -> None:
        headers = {NAME: VALUE, "Accept": "text/event-stream", "Content-Type": "application/json"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._connection.request(method, path, body, headers)
        self._response = self._connection.getresponse()
        self.last_id = ""

    def read_event(self) -> None:
        """Wait for the next event."""
        while line := self._response.readline():
            if line.startswith(b"id: "):
                self.last_id = line[4:].decode().strip()
            if line.startswith(b"data: "):
                return
        raise RuntimeError("a stream has ended")

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()


@contextmanager
def _reading(hosts: Hosts, session: str, **fields: str) -> Iterator[EventReader]:
    """Start a turn, read its first tokens, and hang up at the end of the block."""
    body = json.dumps({"message": "hi", **fields})
    reader = EventReader(hosts.owner_port, "POST", f"/chat/{session}", body=body)
    try:
        for _ in range(TOKENS_BEFORE):
            reader.read_event()
        yield reader
    finally:
        reader.close()


def _cancel_turn(hosts: Hosts, session: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", hosts.other_port, timeout=PATIENCE_SECONDS)
    headers = {NAME: VALUE, "Content-Type": "application/json"}
    connection.request("POST", f"/chat/{session}/cancel", "{}", headers)
    answer = json.load(connection.getresponse())
    connection.close()
    if not answer.get("cancelled"):
        raise RuntimeError(f"nothing was cancelled: {answer}")


def _cut_after_ms(hosts: Hosts, since_ns: int) -> float:
    """When the provider saw a connection closed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        stats = hosts.upstream.take_stats()
        if stats["cut"]:
            return float(stats["cut_ns"] - since_ns) / 1e6
        time.sleep(0.001)
    raise RuntimeError("the provider's connection was not closed")


def _row(server: str, reaction: str, took_ms: list[float]) -> Row:
    hundredths = statistics.quantiles([*took_ms, took_ms[-1]], n=100, method="inclusive")
    return {
        "server": server,
        "reaction": reaction,
        "trials": len(took_ms),
        "p50_ms": hundredths[49],
        "p99_ms": hundredths[98],
        "max_ms": max(took_ms),
    }


REACTED: Final = Work(
    add_arguments, measure, table, "cancel, hang-up and resume across workers, in milliseconds"
)
