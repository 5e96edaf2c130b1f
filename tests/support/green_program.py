"""A program of greenlets that all run event loops; prints what each saw."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import asyncio  # noqa: E402 - as gevent wants it
import json  # noqa: E402 - the same
import threading  # noqa: E402 - the same
import time  # noqa: E402 - the same
from collections.abc import Callable, Coroutine  # noqa: E402 - the same
from typing import Any  # noqa: E402 - the same

from wsgi_app.engine.runtime import green  # noqa: E402 - the same

LOOPS = 4
seen: list[bool] = []


async def _generate() -> Any:
    for number in range(3):
        await asyncio.sleep(0.01)
        yield number


async def _look() -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for _ in range(3):
        await asyncio.sleep(0.01)
        time.sleep(0.01)  # noqa: ASYNC251 - a task that blocks, as it should not
        seen.append(asyncio.get_running_loop() is loop and asyncio.current_task() is task)
    seen.append([number async for number in _generate()] == [0, 1, 2])


def _has_no_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def main() -> None:
    """Run the host's loops beside one that asyncio runs itself."""
    runs: list[Callable[[Coroutine[Any, Any, None]], None]] = [green.run] * LOOPS
    threads = [threading.Thread(target=run, args=(_look(),)) for run in (*runs, asyncio.run)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads[:LOOPS]):
        time.sleep(0.003)
    threads[LOOPS].join()
    print(json.dumps({"seen": seen, "none_here": _has_no_loop()}))  # noqa: T201 - what it is for


main()
