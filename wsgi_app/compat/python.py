"""What differs between versions of Python."""

from __future__ import annotations

import asyncio
import sys
from contextvars import Context
from typing import Any


def task_context(task: asyncio.Task[Any]) -> Context:
    """Return the context that a task runs in: Python 3.12 and later have `Task.get_context`.

    Raises RuntimeError on older ones.
    """
    if sys.version_info < (3, 12):
        raise RuntimeError("the context of a task needs Python 3.12")
    return task.get_context()
