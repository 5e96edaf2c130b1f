"""The benchmark, each work at a size that says nothing: what it writes has the promised shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.plot import draw
from bench.works.profile import OTHER, PROVIDER, part_of
from tests.support.processes import ROOT, clean_environment

TINY_TOKENS = [
    *("--rounds", "1", "--workers", "1", "--patience-seconds", "0"),
    *("--warm-seconds", "0.2", "--window-seconds", "0.5"),
]
FIGURES = {"tokens_per_second", "p50_ms", "p99_ms", "cpu_us_per_token", "offered_per_second"}


def run(folder: Path, work: str, *options: str) -> tuple[list[dict[str, Any]], str]:
    """Run a work; its rows, and all that it printed."""
    output = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", work, *options, "--output", output],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    rows: list[dict[str, Any]] = json.loads(output.read_text())["works"][work]["rows"]
    return rows, done.stdout


@pytest.mark.slow
def test_tokens_are_counted(tmp_path: Path) -> None:
    """Every token that the provider writes is counted at the client, with its latency."""
    options = ["--servers", "host", "--streams", "2,4", *TINY_TOKENS]
    rows, printed = run(tmp_path, "tokens", *options)
    measured = [row for row in rows if row["server"] == "host"]
    assert [row["streams"] for row in measured] == [2, 4]
    for row in measured:
        assert row.keys() >= FIGURES
        assert row["tokens"] > 0
        assert row["silent"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["cpu_us_per_token"] > 0
        assert row["redis_commands_per_token"] > 0
    assert "| 4 | this host, a thread per stream |" in printed
    assert (tmp_path / "figures.svg").read_text().count("<polyline") == 2


@pytest.mark.slow
def test_turns_are_counted(tmp_path: Path) -> None:
    """Clients start turn after turn, on this code and on a commit's; each costs something."""
    options = ["--servers", "host-parked,host-parked@before", "--tokens", "2", "--clients", "4"]
    options += ["--warm-seconds", "0.2", "--window-seconds", "1", "--rounds", "1"]
    rows, printed = run(tmp_path, "turns", *options, "--patience-seconds", "0")
    assert {row["server"] for row in rows} == {"host-parked", "host-parked@before"}
    for row in rows:
        assert row["turns_per_second"] > 0
        assert row["cpu_ms_per_turn"] > 0
        assert row["tokens"] >= 2 * row["ended_in_window"] - 8
    assert "| 2 | this host, parked streams, before |" in printed


def test_a_sample_counts_for_the_innermost_known_part() -> None:
    """What a library does for a part is that part's time, whoever has called the part."""
    loop = "_run (/python/asyncio/events.py:84)"
    ask = "ask (/host/wsgi_app/agents/openai_client.py:80)"
    inner = "data_received (/site-packages/aiohttp/client_proto.py:300)"
    helper = "wait (/python/threading.py:320)"
    assert part_of(f"{loop};{ask};{inner}") == PROVIDER
    assert part_of(f"{loop};{ask};{inner};{helper}") == PROVIDER
    assert part_of(f"{ask};{inner};{loop}") == "asyncio's loop"
    assert part_of(helper) == OTHER


def test_a_picture_has_a_line_for_each_server() -> None:
    """Throughput and latency are drawn for each server, whatever its figures are."""
    rows = [
        {"server": server, "streams": n, "tokens_per_second": n * 50.0, "p99_ms": 0.0}
        for server in ("host", "express", "wsgi")
        for n in (100, 1200)
    ]
    assert draw(rows).count("<polyline") == 6


@pytest.mark.slow
@pytest.mark.parametrize("server", ["host", "wsgi", "flask"])
def test_generator_agents_are_counted(tmp_path: Path, server: str) -> None:
    """A plain generator's tokens are counted on each kind of server."""
    options = ["--servers", server, "--streams", "3", *TINY_TOKENS]
    rows, _ = run(tmp_path, "generator", *options)
    assert [row["tokens"] > 0 for row in rows] == [True]


@pytest.mark.slow
def test_memory_is_reported_for_each_kind_of_stream(tmp_path: Path) -> None:
    """An idle stream takes memory, be it a turn or one more reader."""
    cases = "host:paced,host:openai,host:readers"
    sizes = ["--streams", "50,100", "--settle-seconds", "1"]
    rows, _ = run(tmp_path, "memory", "--cases", cases, *sizes, "--per-second", "100")
    assert [row["kind"] for row in rows] == ["paced", "paced", "openai", "openai"] + ["readers"] * 2
    assert all(row["kb_per_stream"] > 0 for row in rows)


@pytest.mark.slow
def test_starts_are_timed(tmp_path: Path) -> None:
    """A stream's first byte comes before its first token, which takes the provider 20 ms."""
    options = ["--servers", "host", "--starts", "1,5", "--rounds", "2"]
    rows, _ = run(tmp_path, "starts", *options)
    assert [row["starts"] for row in rows] == [1, 5, 5]
    for row in rows:
        assert 0 < row["first_byte_p50_ms"] < row["first_token_p50_ms"]
        assert row["first_token_p50_ms"] > 20


@pytest.mark.slow
def test_reactions_are_timed(tmp_path: Path) -> None:
    """A cancel and a hang-up are seen at the provider, a resume brings the next event."""
    options = ["--servers", "host", "--streams", "2", "--trials", "3", "--far-trials", "0"]
    rows, _ = run(tmp_path, "reactions", *options)
    assert [row["reaction"] for row in rows] == ["cancel", "disconnect", "resume"]
    assert all(0 < row["p50_ms"] <= row["max_ms"] for row in rows)


@pytest.mark.slow
def test_growth_is_reported(tmp_path: Path) -> None:
    """CPU per token is told as streams, readers and tokens double."""
    sizes = ["--streams", "2,4", "--readers", "1,2", "--tokens", "20,40"]
    options = ["--servers", "host", *sizes, "--workers", "1", "--window-seconds", "0.5"]
    rows, _ = run(tmp_path, "growth", *options)
    grown = ["streams"] * 2 + ["readers per turn"] * 2 + ["tokens per answer"] * 2
    assert [row["grown"] for row in rows] == grown
    assert all(row["cpu_seconds_per_million"] > 0 for row in rows)


@pytest.mark.slow
def test_a_page_is_timed(tmp_path: Path) -> None:
    """The page's latency is told without streams and beside them."""
    options = [
        "--server",
        "host",
        "--agents",
        "paced,openai",
        "--streams",
        "0,10",
        "--seconds",
        "0.5",
    ]
    rows, _ = run(tmp_path, "page", *options)
    assert [row["streams"] for row in rows] == [0, 10, 0, 10]
    assert all(0 < row["page_p50_ms"] <= row["page_p99_ms"] for row in rows)


@pytest.mark.slow
def test_a_crowd_is_timed(tmp_path: Path) -> None:
    """Turns at one instant all end, no earlier than their tools; the page is asked meanwhile."""
    options = ["--turns", "1,8", "--rounds", "1", "--patience-seconds", "0"]
    rows, _ = run(tmp_path, "crowd", *options)
    assert [(row["turns"], row["fault"]) for row in rows] == [(1, ""), (8, "")]
    assert all(row["seconds_over_ideal"] > 0 and row["page_requests"] > 0 for row in rows)


@pytest.mark.slow
def test_attacks_are_measured(tmp_path: Path) -> None:
    """A second tenant is served beside an attack, and without one."""
    options = ["--attacks", "quiet,idle_readers", "--entries", "gunicorn", "--workers", "1"]
    rows, _ = run(tmp_path, "attacks", *options, "--before", "1", "--seconds", "2")
    assert [row["attack"] for row in rows] == ["quiet", "idle_readers"]
    assert all(row["per_second"] > 0 and row["mb_most"] >= row["mb_before"] for row in rows)
