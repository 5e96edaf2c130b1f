"""Short turns by clients that start the next one when the last has ended: what a start costs."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, Optional

from bench.programs import Load, Plan, Programs, wait_quiet
from bench.report import markdown, median, names_in, numbers_in
from bench.servers import PEERS, available
from bench.stage import Setup, Stage, Used, staged
from bench.works import Row, Tell, Work

#: Behind a server's name: it is run from the commit before.
BEFORE: Final = "@before"
HEADS: Final = ("tokens each", "server", "turns/s", "CPU ms per turn", "with Redis's",
                "Redis commands per turn", "first token p50 ms", "p99 ms")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this work's options."""
    add = parser.add_argument
    servers = "host,host-parked,host-memory,fastapi,express"
    add("--servers", default=servers, help=f"of {','.join(available('openai'))}, or one{BEFORE}")
    add("--before", default="HEAD", help=f"the commit that NAME{BEFORE} is run from")
    add("--tokens", default="1,30", help="how many each answer has")
    add("--pace-ms", type=float, default=5.0, help="from token to token")
    add("--history", type=int, default=0, help="exchanges that each request brings (host alone)")
    add("--clients", type=int, default=128, help="how many start turn after turn")
    add("--workers", type=int, default=2, help="processes of each server")
    add("--rounds", type=int, default=3, help="how often each is measured")
    add("--warm-seconds", type=float, default=3.0, help="before it is counted")
    add("--window-seconds", type=float, default=10.0, help="in which it is counted")
    add("--patience-seconds", type=float, default=30.0, help="for others on this machine to rest")


def measure(options: argparse.Namespace, programs: Programs, tell: Tell) -> list[Row]:
    """Let the clients start turns on each server, round by round."""
    rows = []
    servers = options.servers.split(",")
    is_compared = any(server.endswith(BEFORE) for server in servers)
    with _tree(options.before) if is_compared else nullcontext() as tree:
        for round_ in range(options.rounds):
            for server in servers if round_ % 2 else reversed(servers):
                wait_quiet(options.patience_seconds)
                for row in _count(options, programs, server, tree):
                    tell(_describe(row))
                    rows.append({**row, "round": round_})
    return rows


def table(rows: list[Row]) -> str:
    """The medians over the rounds, in Markdown."""
    lines = []
    for tokens in numbers_in(rows, "tokens_each"):
        for server in names_in(rows, "server"):
            own = [row for row in rows if (row["tokens_each"], row["server"]) == (tokens, server)]
            lines.append(
                (
                    f"{tokens}",
                    _label(server),
                    f"{median(own, 'turns_per_second'):.0f}",
                    f"{median(own, 'cpu_ms_per_turn'):.2f}",
                    f"{median(own, 'all_cpu_ms_per_turn'):.2f}",
                    f"{median(own, 'redis_commands_per_turn'):.1f}",
                    f"{median(own, 'first_token_p50_ms'):.1f}",
                    f"{median(own, 'first_token_p99_ms'):.1f}",
                )
            )
    return markdown(HEADS, lines)


def _count(
    options: argparse.Namespace, programs: Programs, server: str, tree: Optional[Path]
) -> Iterator[Row]:
    name = server.removesuffix(BEFORE)
    setup = Setup(
        name,
        options.clients,
        workers=options.workers,
        pace_ms=options.pace_ms,
        tree=tree if server != name else None,
    )
    seconds = {
        "window_seconds": options.window_seconds,
        "warm_seconds": options.warm_seconds,
    }
    with staged(programs, setup) as stage:
        for tokens in map(int, options.tokens.split(",")):
            plan = Plan([options.clients], **seconds, per_second=0, again=True)
            yield from _row(stage, server, tokens, plan, options.history)


def _row(stage: Stage, server: str, tokens: int, plan: Plan, history: int) -> Iterator[Row]:
    target = stage.target(f"turns-{tokens}", f'{{"message":"tokens={tokens}"}}')
    if history:
        body = json.dumps({"messages": _messages(tokens, history), "stream": True})
        target = target._replace(path="/v1/chat/completions", body=body)
    for load, used in stage.count(target, plan):
        turns = max(1, load.ended_in_window)
        yield {
            "server": server,
            "tokens_each": tokens,
            "history": history,
            "turns_per_second": load.ended_in_window / load.seconds,
            **_costs(load, used, turns),
            "fault": load.fault(may_end=True),
            **load._asdict(),
            **used._asdict(),
        }


def _messages(tokens: int, history: int) -> list[dict[str, str]]:
    """A conversation of so many exchanges, and the message that asks for the tokens."""
    exchange = [
        {"role": "user", "content": "How many pieces of it are left? " * 4},
        {"role": "assistant", "content": "There are three pieces left of this article. " * 8},
    ]
    return [*(exchange * history), {"role": "user", "content": f"tokens={tokens}"}]


def _costs(load: Load, used: Used, turns: int) -> Row:
    ms_per_turn = load.seconds * 1000 / turns
    return {
        "cpu_ms_per_turn": used.server_cpu * ms_per_turn,
        "all_cpu_ms_per_turn": (used.server_cpu + used.redis_cpu) * ms_per_turn,
        "redis_commands_per_turn": used.redis_commands / turns,
    }


def _describe(row: Row) -> str:
    return (
        f"{_label(row['server'])}, {row['tokens_each']} tokens: {row['turns_per_second']:.0f}"
        f" turns/s, {row['cpu_ms_per_turn']:.2f} ms CPU each, first token"
        f" {row['first_token_p50_ms']:.1f} ms; others {row['other_cpu']:.1f} cores"
        + (f"  FAULT: {row['fault']}" if row["fault"] else "")
    )


def _label(server: str) -> str:
    name = server.removesuffix(BEFORE)
    return PEERS[name].label + (", before" if name != server else "")


@contextmanager
def _tree(commit: str) -> Iterator[Path]:
    """A copy of the project as it was at a commit."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit], check=True, stdout=subprocess.PIPE
    )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], check=True, input=archive.stdout)
        yield Path(folder)


TURNS: Final = Work(add_arguments, measure, table, "short turns by clients in a closed loop")
