"""The tool call, or the agent's step, that the running code belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Call(NamedTuple):
    """One call of a turn."""

    #: The same at each attempt of the call, on any worker: for idempotency keys of other systems.
    key: str
    #: As the model named it; '' for a step of an agent.
    call_id: str
    tool: str
    #: Which worker runs the turn, in their order from 1.
    attempt: int


def call_key(*parts: str | int) -> str:
    """A key that names one call among all."""
    return hashlib.sha256(" ".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32]


_current: ContextVar[Call] = ContextVar("wsgi_app_call")


def current_call() -> Call:
    """The call that the calling code runs for; raises LookupError outside of tools and steps."""
    call = find_call()
    if call is None:
        raise LookupError("this code belongs to no call of a tool")
    return call


def find_call() -> Call | None:
    """Like `current_call`; None outside of tools and steps."""
    return _current.get(None)


def enter_call(call: Call) -> None:
    """Make ``call`` the `current_call` of the caller's context, which must be the call's own."""
    _current.set(call)


@contextmanager
def inside_call(call: Call) -> Iterator[None]:
    """Make ``call`` the `current_call` of the block."""
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)
