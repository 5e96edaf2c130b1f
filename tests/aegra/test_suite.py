"""aegra's end-to-end tests by the stock SDK, against the host instead of its own server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.aegra.site import GRAPH_VARIABLE
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import Server, gunicorn, redis_server

FOLDER: Final = ROOT / ".aegra"
REPO: Final = FOLDER / "repo"
API: Final = REPO / "libs" / "aegra-api"
HERE: Final = Path(__file__).parent
#: How many cases pass.
PASSING: Final = 56
PARTS: Final = ("test_assistants", "test_runs", "test_streaming", "test_threads")
ONE: Final = "there is one assistant, the hosted agent: none is made, changed or deleted"
STATES: Final = "the host's history is what was said: no state is written by clients"
MODEL: Final = "its graph, which needs a model or has subgraphs, is not what is hosted here"
#: What does not pass, and why.
EXPECTED: Final[dict[str, str]] = {
    **{
        f"test_assistant_{name}": ONE
        for name in (
            *("deletion::test_assistant_deletion_with_active_runs",),
            *("deletion::test_assistant_deletion_with_completed_runs",),
            *("deletion::test_assistant_deletion_no_runs",),
            *("deletion::test_assistant_deletion_multiple_runs",),
            *("graph::test_get_assistant_graph",),
            *("graph::test_get_assistant_graph_with_xray_boolean",),
            *("graph::test_get_assistant_graph_with_xray_integer",),
            *("graph::test_get_assistant_graph_not_found",),
            *("graph::test_get_assistant_subgraphs",),
            *("graph::test_get_assistant_subgraphs_with_recurse",),
            *("search::test_assistant_count", "search::test_assistant_search_metadata"),
            *("search::test_assistant_search_sort_by_name_asc",),
            *("search::test_assistant_search_sort_by_name_desc",),
            *("search::test_assistant_search_pagination_is_stable_across_offset",),
            *("version::test_assistant_versions", "version::test_change_assistant_version"),
        )
    },
    "test_search::test_search_order_by_created_at_asc_e2e": (
        "it sorts by `order_by`, which no SDK knows"
    ),
    **{
        f"test_update_state_endpoint::test_post_state_{name}_e2e": STATES
        for name in (
            *("update", "update_with_as_node"),
            *("update_with_list_values", "update_thread_not_found", "update_no_graph_id"),
            *("update_with_checkpoint_config", "update_with_checkpoint"),
        )
    },
    "test_background_run_join::test_background_run_and_join_e2e": (
        "it comes back behind an event of its own invention, which is refused"
    ),
    "test_heartbeat_keepalive_e2e::test_heartbeat_bytes_visible_with_slow_agent": (
        "a JSON answer is silent while it is waited for"
    ),
    "test_run_join_output::test_run_join_returns_actual_output": (
        "it reads `output` of a run, which no SDK knows"
    ),
    "test_runs::test_runs_wait_with_interrupts_e2e": "`interrupt_before` is refused by its name",
    "test_get_state_endpoint::test_latest_state_human_in_loop_interrupt_e2e": MODEL,
    "test_get_state_endpoint::test_latest_state_with_subgraphs_e2e": MODEL,
}

pytestmark = [pytest.mark.aegra, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Two workers that share a store."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_RATE_LIMIT": "100000/minute",
            "AGENT_ORPHAN_SECONDS": "0.5",
            "AGENT_MAX_TURNS_PER_TENANT": "200",
            GRAPH_VARIABLE: str(REPO / "examples" / "stress_test" / "graph.py"),
        }
        with gunicorn("tests.aegra.site:site()", workers=2, threads=80, env=env) as server:
            yield server


def base(server: Server) -> str:
    """Where its clients find the host."""
    return f"{server.url}/agents/langgraph"


def run_suite(server: Server, report: Path) -> None:
    """Run its tests of these parts, which report to a file."""
    env = {**clean_environment(), "SERVER_URL": base(server)}
    env["PYTHONPATH"] = f"{HERE / 'shim'}:{API}"
    done = subprocess.run(
        [
            *(str(FOLDER / "venv" / "bin" / "python"), "-m", "pytest", "-q", "--noconftest"),
            *("-c", "/dev/null", "--rootdir", str(API), "-o", "asyncio_mode=auto"),
            *("-W", "ignore", "--junitxml", str(report)),
            *(f"tests/e2e/{part}" for part in PARTS),
        ],
        cwd=API,
        env=env,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert report.exists(), done.stdout + done.stderr


def outcomes(report: Path) -> dict[str, str]:
    """Each case, and why it did not pass; '' for those that did."""
    found = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        failed = next((one for one in case if one.tag in ("failure", "error", "skipped")), None)
        name = f"{str(case.get('classname')).rpartition('.')[2]}::{case.get('name')}"
        found[name] = "" if failed is None else f"{failed.tag}: {failed.get('message')}"
    return found


def test_end_to_end(server: Server, tmp_path: Path) -> None:
    """All cases pass but those that are named here, each with its reason."""
    run_suite(server, tmp_path / "report.xml")
    found = outcomes(tmp_path / "report.xml")
    failed = {name: why for name, why in found.items() if why}
    assert set(failed) == set(EXPECTED), failed
    assert len(found) - len(failed) == PASSING


def test_stress(server: Server) -> None:
    """Its stress scenarios: runs by the dozen succeed, fail and are cancelled as they shall."""
    path = API / "tests" / "e2e" / "multi_instance" / "test_stress.py"
    python = FOLDER / "venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), str(HERE / "stress.py"), base(server), str(path)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    results = {one["scenario"]: one for one in map(json.loads, lines)}
    assert len(results) == 5, done.stdout + done.stderr
    for name, one in results.items():
        good = one["succeeded"] + (one["interrupted"] if name == "cancel_storm" else 0)
        assert good == one["total"], one
