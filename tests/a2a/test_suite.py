"""The public suite of A2A, its Technology Compatibility Kit; `make test-a2a` fetches it."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import pytest

from tests.support.processes import ROOT, clean_environment
from tests.support.servers import gunicorn, redis_server

FOLDER: Final = ROOT / ".a2a-suite"
_BINDINGS: Final = ("jsonrpc", "http_json")
_TEXT: Final = "an agent's reply is text"
_MESSAGE: Final = "each message has a task, so that it can be read again and cancelled"
#: The suite knows the error that it wants by its title alone, and takes it for a failure.
_MEDIA: Final = "the agent refuses the type with the error that the case is called after"
#: The cases that do not pass, with the reason of each.
EXPECTED: Final = {
    f"{name}[{binding}]": reason
    for name, reason in {
        "TestFileArtifact::test_task_has_file_artifact": _TEXT,
        "TestFileUrlArtifact::test_task_has_file_url_artifact": _TEXT,
        "TestDataArtifact::test_task_has_data_artifact": _TEXT,
        "TestMessageResponse::test_returns_message_with_text_part": _MESSAGE,
    }.items()
    for binding in _BINDINGS
} | {f"test_must_requirement[CORE-SEND-003-{binding}]": _MEDIA for binding in _BINDINGS}
PASSED: Final = 123

pytestmark = [pytest.mark.a2a, pytest.mark.timeout(500)]


def test_the_suite_passes_at_level_must() -> None:
    """On two workers with a store, in both bindings, all passes but what has a reason."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_RATE_LIMIT": "10000/minute"}
        with gunicorn("tests.a2a.app:suite_app()", workers=2, threads=24, env=env) as server:
            done = subprocess.run(
                [
                    *(str(FOLDER / "venv/bin/python"), "run_tck.py", "--level", "must"),
                    *("--sut-host", f"{server.url}/agents"),
                ],
                cwd=FOLDER / "suite",
                env=clean_environment({"PATH": f"{FOLDER}/venv/bin:/usr/bin:/bin"}),
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )
    failed = re.findall(r"^FAILED \S+?\.py::(\S+)", done.stdout, re.MULTILINE)
    assert set(failed) == set(EXPECTED), done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= PASSED
