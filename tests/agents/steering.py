"""What tests of steered agents need: a tool that waits, and what the provider was asked."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

from tests.agents.bench import AgentBench, events_of
from tests.support.upstream import Upstream
from tests.support.upstream_script import AnyStep, Call, ToolCalls, scripted_message
from wsgi_app.engine.turn.run import TurnRun

WAIT_SECONDS = 10
_numbers = itertools.count()


class Gate:
    """A tool that waits until the test lets it go on, and how often it was called."""

    def __init__(self) -> None:
        self.entered, self.left = threading.Event(), threading.Event()
        self.calls = 0

    def hold(self) -> str:
        """Wait."""
        self.calls += 1
        self.entered.set()
        assert self.left.wait(WAIT_SECONDS)
        return "held"

    def say(self, run: TurnRun, *texts: str) -> None:
        """Say something to a turn while the tool runs."""
        assert self.entered.wait(WAIT_SECONDS), events_of(run)
        for number, text in enumerate(texts):
            run.steering.offer(f"{run.fence.run_id}-{number}", text)
        self.left.set()


def call(*names: str, arguments: dict[str, Any] | None = None) -> ToolCalls:
    """Calls of tools at the same time."""
    told = json.dumps(arguments or {})
    ids = next(_numbers)
    return ToolCalls(tuple(Call(f"c{ids}-{at}", name, told) for at, name in enumerate(names)))


def said(*steps: AnyStep) -> str:
    """What the provider answers with these steps."""
    return scripted_message(list(steps))


def kinds(upstream: Upstream) -> list[str]:
    """Whose the messages of the newest request are, without the instructions."""
    return [message["role"] for message in upstream.requests[-1].body["messages"]]


def finish(bench: AgentBench, run: TurnRun) -> list[dict[str, Any]]:
    """A turn's events, to its end."""
    bench.finish(run)
    return events_of(run)
