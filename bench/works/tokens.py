"""Tokens per second and their latency, at more and more streams."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Final

from bench.programs import Load, Plan, Programs, wait_quiet
from bench.report import markdown, median, names_in, numbers_in
from bench.servers import HOST, OPENAI, PACED, PEERS, available
from bench.stage import START_SECONDS, Setup, Stage, Used, bare, staged
from bench.works import Row, Tell, Work

#: Far faster than any model, to find what the generator and the upstream can do at the most.
CEILING_PACE_MS: Final = 2.0
CEILING: Final = "no server"
HEADS: Final = (
    "streams",
    "server",
    "tokens/s (lowest to highest)",
    "host / server",
    "p50 ms",
    "p99 ms",
    "CPU µs per token",
    "Redis commands per token",
)


def tokens_work(help_: str, agent: str, servers: Sequence[str], streams: str) -> Work:
    """Work whose servers take turns, at an agent's tokens."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--streams", default=streams, help="how many at once, each more than the one before")
        add("--servers", default=",".join(servers), help=f"of {','.join(available(agent))}")
        add("--delivery", default="thread", help="AGENT_DELIVERY of the server `host`")
        add("--rounds", type=int, default=3, help="how often each is measured")
        add("--pace-ms", type=float, default=20.0, help="between two tokens of a stream")
        add("--workers", type=int, default=2, help="processes of each server")
        add("--warm-seconds", type=float, default=1.5, help="between the opening and the counting")
        add("--window-seconds", type=float, default=3.0, help="of counting")
        add("--patience-seconds", type=float, default=20.0, help="for others here to rest")
        parser.set_defaults(agent=agent)

    return Work(add_arguments, measure, table, help_)


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Measure the ceilings, then all servers in turns."""
    steps = [int(streams) for streams in options.streams.split(",")]
    plan = Plan(steps, options.window_seconds, options.warm_seconds, patience_seconds=4.0)
    cases = list(_in_turns(options.rounds, options.servers.split(",")))
    tell(f"{len(cases)} runs, {len(cases) * (plan.seconds + START_SECONDS) / 60 + 1:.0f} minutes")
    rows: list[Row] = []
    if options.agent == OPENAI:
        with bare(programs, options.pace_ms) as stage:
            rows += _count(stage, plan, CEILING, 0, tell)
        with bare(programs, CEILING_PACE_MS) as stage:
            rows += _count(stage, plan._replace(steps=[max(steps) // 2]), CEILING, 0, tell)
    for number, (round_, server) in enumerate(cases, 1):
        wait_quiet(options.patience_seconds)
        env = {"AGENT_DELIVERY": options.delivery} if server == HOST else {}
        setup = Setup(server, max(steps), options.agent, options.workers, options.pace_ms, env)
        tell(f"{number:3}/{len(cases)} {PEERS[server].label}")
        with staged(programs, setup) as stage:
            rows += _count(stage, plan, server, round_, tell)
    return rows


def table(rows: list[Row]) -> str:
    """The medians over the rounds, in Markdown, with the host's throughput over each server's."""
    counted = [row for row in rows if row["server"] != CEILING]
    lines = [
        _line(counted, streams, server)
        for streams in numbers_in(counted, "streams")
        for server in names_in(counted, "server")
    ]
    ceilings = [
        f"The load generator straight on the provider, {row['streams']} streams at "
        f"{row['pace_ms']:g} ms per token: {row['tokens_per_second']:,.0f} tokens/s of "
        f"{row['offered_per_second']:,.0f}, p99 {row['p99_ms']:.1f} ms, "
        f"{row['upstream_cpu'] + row['load_cpu']:.2f} cores.  "
        for row in rows
        if row["server"] == CEILING
    ]
    return "\n".join([*ceilings, "", markdown(HEADS, [line for line in lines if line])])


def _in_turns(rounds: int, servers: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Servers alternate, the other way round in every second round: none is always first."""
    for number in range(1, rounds + 1):
        for name in servers if number % 2 else reversed(servers):
            yield number, name


def _count(stage: Stage, plan: Plan, server: str, round_: int, tell: Tell) -> Iterator[Row]:
    for load, used in stage.count(stage.target(), plan):
        row = _row(stage, load, used, server, round_)
        tell(_describe(row))
        yield row


def _row(stage: Stage, load: Load, used: Used, server: str, round_: int) -> Row:
    tokens = max(1, load.tokens)
    pace_ms = stage.setup.pace_ms
    return {
        "server": server,
        "agent": stage.setup.agent,
        "round": round_,
        "pace_ms": pace_ms,
        "tokens_per_second": load.tokens / load.seconds,
        "offered_per_second": load.streams * 1000 / pace_ms,
        # What the server and its Redis spent on a token.
        "cpu_us_per_token": (used.server_cpu + used.redis_cpu) * load.seconds / tokens * 1e6,
        "redis_commands_per_token": used.redis_commands / tokens,
        "fault": load.fault(),
        **load._asdict(),
        **used._asdict(),
    }


def _line(rows: list[Row], streams: int, server: str) -> tuple[str, ...] | None:
    own = [row for row in rows if (row["streams"], row["server"]) == (streams, server)]
    if not own:
        return None
    rates = [row["tokens_per_second"] for row in own]
    ratio = ratio_to_host(rows, streams, server)
    commands = median(own, "redis_commands_per_token")
    return (
        str(streams),
        PEERS[server].label,
        f"{median(own, 'tokens_per_second'):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
        "" if ratio is None or server == HOST else f"{ratio:.2f}",
        f"{median(own, 'p50_ms'):,.1f}",
        f"{median(own, 'p99_ms'):,.1f}",
        f"{median(own, 'cpu_us_per_token'):,.0f}",
        f"{commands:.2f}" if commands else "",
    )


def ratio_to_host(rows: list[Row], streams: int, server: str) -> float | None:
    """The host's throughput over a server's in the same round, and so under like conditions."""
    rates = {
        (row["server"], row["round"]): row["tokens_per_second"]
        for row in rows
        if row["streams"] == streams
    }
    ratios = [
        {"ratio": rates[HOST, round_] / rate}
        for (name, round_), rate in rates.items()
        if name == server and rate and (HOST, round_) in rates
    ]
    return median(ratios, "ratio") if ratios else None


def _describe(row: Row) -> str:
    text = (
        f"        {row['streams']:5} streams {row['tokens_per_second']:9,.0f} tokens/s"
        f"  p50 {row['p50_ms']:8,.1f} ms  p99 {row['p99_ms']:8,.1f} ms"
        f"  {row['cpu_us_per_token']:5,.0f} µs CPU per token"
        f"  others on this machine {row['other_cpu']:4.1f} cores"
    )
    if row["silent"]:
        text += f"  {row['silent']} streams got nothing"
    return f"{text}  FAULT: {row['fault']}" if row["fault"] else text


TOKENS: Final = tokens_work(
    "tokens through the real openai package, from the provider to the client",
    OPENAI,
    ("host", "host-parked", "fastapi", "fastapi-sse", "flask", "express"),
    "100,300,500,800,1200",
)
GENERATOR: Final = tokens_work(
    "tokens of a plain generator agent, beside the bare generator",
    PACED,
    ("host", "host-parked", "wsgi", "flask"),
    "800",
)
JOURNAL: Final = tokens_work(
    "the host with Redis and without: what the journal costs",
    OPENAI,
    ("host-parked", "host-parked-memory"),
    "1200",
)
GEVENT_WORKERS: Final = tokens_work(
    "the host on gevent's worker class, beside threads",
    OPENAI,
    ("host", "host-gevent"),
    "100,500",
)
