"""Event loops that share a thread by gevent."""

from __future__ import annotations

import json

from tests.support.python import run_python


def test_each_loop_of_a_thread_is_the_only_one_to_its_tasks() -> None:
    """Loops run at the same time, blocking tasks find their own again, others see none."""
    seen = json.loads(run_python("-m", "tests.support.green_program"))
    assert seen == {"seen": [True] * 20, "none_here": True}
