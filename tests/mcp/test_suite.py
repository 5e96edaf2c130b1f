"""The public suite of MCP, as it is; `make test-mcp` fetches it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.node import node_program
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import gunicorn, redis_server

PROGRAM: Final = ".mcp-suite/node_modules/@modelcontextprotocol/conformance/dist/index.js"
HERE: Final = Path(__file__).parent
#: Of each version of the protocol, how many of the suite's scenarios pass.
PASSED: Final = {"2025-11-25": 13, "2026-07-28": 17}

pytestmark = [pytest.mark.mcp, pytest.mark.timeout(300)]


@pytest.mark.parametrize("version", PASSED)
def test_the_suite_passes_but_for_what_is_listed(version: str, tmp_path: Path) -> None:
    """On two workers with a store, all passes but what is expected to fail, and that fails."""
    expected = HERE / f"expected-{version}.yml"
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_RATE_LIMIT": "10000/minute"}
        with gunicorn("tests.mcp.app:suite_app()", workers=2, threads=16, env=env) as server:
            done = subprocess.run(
                [
                    *(str(node_program()), str(ROOT / PROGRAM), "server"),
                    *("--url", f"{server.url}/agents/mcp", "--requirements", version),
                    *("--expected-failures", str(expected), "--output-dir", str(tmp_path)),
                ],
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    # Told twice are the scenarios that are not scored.
    passed = set(re.findall(r"^\s*✓ ([\w-]+)", done.stdout, re.MULTILINE))
    assert len(passed) == PASSED[version], sorted(passed)


@pytest.mark.parametrize("version", PASSED)
def test_each_expected_failure_has_a_reason(version: str) -> None:
    """What the host leaves out of the protocol is told beside the name of the scenario."""
    lines = (HERE / f"expected-{version}.yml").read_text().splitlines()
    named = [line for line in lines if line.startswith("  - ")]
    assert named
    assert all(re.fullmatch(r"  - [\w-]+ # .{5,}", line) for line in named)
