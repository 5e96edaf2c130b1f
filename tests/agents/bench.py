"""What every kind of agent must show: the conversation, cancels at any point, nothing left."""

from __future__ import annotations

import json
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from openai import AsyncOpenAI

from tests.support.conversation import ANSWER, SCRIPTS, transcript
from tests.support.processes import child_pids
from tests.support.turns import TurnBench
from tests.support.upstream import Upstream
from tests.support.upstream_script import AnyStep, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for
from wsgi_app import Turn
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.errors import RequestError
from wsgi_app.events import InputRequest

TURN_SECONDS: Final = 60.0
CANCEL_SECONDS: Final = 0.2
#: Pace of the conversation while it is cancelled somewhere.
PACE_SECONDS: Final = 0.02


class AgentBench:
    """Puts one agent through the conversation, on the real engine, against a scripted provider.

    Used by the test's thread alone.
    """

    def __init__(self, agent: Callable[..., Any], upstream: Upstream, **settings: Any) -> None:
        self.turns = TurnBench(**settings)
        self._agent = self.turns.remembering = agent
        self.upstream = upstream
        self._count = 0

    def start(self, *scripts: tuple[AnyStep, ...], **options: Any) -> TurnRun:
        """Start a turn whose requests to the provider are answered by ``scripts``."""
        self._count += 1
        message = scripted_message(*scripts, tag=f"{id(self)}-{self._count}")
        return self.turns.start(self._agent, message, **options)

    def talk(self, *scripts: tuple[AnyStep, ...], **options: Any) -> list[dict[str, Any]]:
        """Run a turn to its end, answer its questions, and give its events."""
        run = self.start(*scripts, **options)
        self.finish(run)
        return events_of(run)

    def transcript(self, *, calls_race: bool = False) -> list[dict[str, Any]]:
        """The golden transcript's form of the conversation."""
        return transcript(self.talk(*SCRIPTS), calls_race=calls_race)

    def finish(self, run: TurnRun, answer: Any = ANSWER) -> None:
        """Answer a turn's questions until it has ended."""
        wait_for(lambda: self._answer(run, answer), "the turn has ended", TURN_SECONDS)

    def _answer(self, run: TurnRun, answer: Any) -> bool:
        for entry in run.log.read(0, run.log.last_seq):
            if isinstance(entry.event, InputRequest) and run.questions.is_pending(
                entry.event.request_id
            ):
                with suppress(RequestError):  # it has this answer already
                    value = json.dumps(answer).encode()
                    self.turns.store.post_input(run.fence.key, entry.event.request_id, value)
        return run.published.is_set()

    def cancel_anywhere(self, times: int = 10, seed: int = 1) -> None:
        """Cancel the conversation at random points; it must end at once, its requests too."""
        choose = random.Random(seed)  # noqa: S311 - no secret
        slow = tuple(_slowly(script) for script in SCRIPTS)
        self.talk(*SCRIPTS)  # what is loaded and connected once
        waits = []
        for _ in range(times):
            run = self.start(*slow)
            self._wait_point(run, choose.randrange(12), choose.uniform(0, 3 * PACE_SECONDS))
            asked_at = time.monotonic()
            numbers = self.turns.runner.cancel(run.fence.key, None, "user")
            waits.append(time.monotonic() - asked_at)
            assert numbers == [run.fence.turn]
            last = events_of(run)[-1]
            assert last == {"type": "cancelled", "reason": "user"}
            self.wait_no_request()
        assert statistics.quantiles(waits, n=10)[-1] < CANCEL_SECONDS, waits

    def _wait_point(self, run: TurnRun, events: int, seconds: float) -> None:
        """Wait until a turn has sent so many events, or asks, and a moment longer."""
        wait_for(
            lambda: run.log.last_seq >= events or run.questions.waiting,
            f"{events} events or a question",
            TURN_SECONDS,
        )
        time.sleep(seconds)  # the random point is a moment, not a condition

    def wait_no_request(self) -> None:
        """Wait until the provider has no request in hand."""
        wait_for(lambda: self.upstream.busy == 0, "no request at the provider", 10)

    def leave_nothing(self, turns: int, *, warm_up: int = 10) -> None:
        """Run and cancel turns in turn; no thread, task, file or process may be left of them."""
        self._turns(warm_up)
        before = self._left()
        self._turns(turns)
        wait_for(
            lambda: _Left(self._beyond(before)), f"nothing is left that was not there: {before}", 30
        )

    def _beyond(self, before: dict[str, int]) -> dict[str, int]:
        return {name: n - before[name] for name, n in self._left().items() if n > before[name]}

    def _turns(self, count: int) -> None:
        slow = tuple(_slowly(script) for script in SCRIPTS)
        for number in range(count):
            if number % 2:
                self.talk(*SCRIPTS)
            else:
                run = self.start(*slow)
                self._wait_point(run, number % 12, 0)
                self.turns.runner.cancel(run.fence.key, None, "user")
        self.wait_no_request()

    def _left(self) -> dict[str, int]:
        return {
            "threads": threading.active_count(),
            "tasks": self.turns.runner.loops.count_tasks(),
            "files": len(list(Path("/proc/self/fd").iterdir())),
            "processes": len(child_pids(os.getpid())),
        }

    def close(self) -> None:
        """End the engine's threads."""
        self.turns.runner.close(10)


#: The fixture that puts agents on the engine.
Host = Callable[..., AgentBench]


@contextmanager
def hosting(upstream: Upstream, client: AsyncOpenAI) -> Iterator[Host]:
    """Put agents on the engine, one each; the client of their model is closed on their loop."""
    benches: list[AgentBench] = []

    def start(agent: Callable[..., Any], **settings: Any) -> AgentBench:
        benches.append(AgentBench(agent, upstream, **settings))
        return benches[-1]

    async def close(_: Turn) -> None:
        await client.close()

    yield start
    for bench in benches:
        bench.turns.run(close)
        bench.close()


def events_of(run: TurnRun) -> list[dict[str, Any]]:
    """A turn's events so far, as clients see them."""
    return [msgspec.json.decode(entry.json) for entry in run.log.read(0, run.log.last_seq)]


def places_of(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Whose the events are, their types, and what they are about."""
    return [
        (
            event.get("parent", ""),
            event.get("agent", ""),
            event["type"],
            event.get("content") or event.get("call_id", ""),
        )
        for event in events
    ]


def _slowly(script: tuple[AnyStep, ...]) -> tuple[AnyStep, ...]:
    return tuple(
        msgspec.structs.replace(step, pace_seconds=PACE_SECONDS)
        if isinstance(step, (Text, ToolCalls))
        else step
        for step in script
    )


class _Left(dict[str, int]):
    """True when it is empty, so that a wait's last value tells what is left."""

    def __bool__(self) -> bool:
        return len(self) == 0
