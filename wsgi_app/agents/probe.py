"""The host's own agent behind `POST /probe`: frames at known times, without a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from msgspec import Struct

from wsgi_app.engine import Turn
from wsgi_app.events import Status, encode_json


class ProbePlan(Struct, frozen=True, kw_only=True):
    """``frames`` at an interval, silence, and one frame more."""

    frames: int
    interval_seconds: float
    silence_seconds: float


class ProbeAgent:
    """Sends in each frame its number and when it was sent, in seconds since the first one."""

    def __init__(self, plan: ProbePlan) -> None:
        self._plan = plan

    def __call__(self, turn: Turn) -> Iterator[Status]:
        """Answer one turn."""
        ended = threading.Event()
        turn.on_cancel(ended.set)
        began = time.monotonic()
        for number in range(1, self._plan.frames + 1):
            yield _frame(number, began)
            ended.wait(self._plan.interval_seconds)
        ended.wait(self._plan.silence_seconds)
        yield _frame(self._plan.frames + 1, began)


def _frame(number: int, began: float) -> Status:
    sent = {"frame": number, "at_seconds": round(time.monotonic() - began, 4)}
    return Status(encode_json(sent).decode())
