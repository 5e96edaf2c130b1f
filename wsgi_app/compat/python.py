"""What differs between versions of Python."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextvars import Context
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, overload

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

if sys.version_info >= (3, 10):
    from contextlib import aclosing
else:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def aclosing(thing: AsyncGenerator[T, None]) -> AsyncIterator[AsyncGenerator[T, None]]:
        """Close an async generator at the block's end, as Python 3.10's own does."""
        try:
            yield thing
        finally:
            await thing.aclose()


if TYPE_CHECKING:
    TextHandler = logging.StreamHandler[TextIO]
else:
    #: Not generic where it is read at run time: before Python 3.11 it cannot be.
    TextHandler = logging.StreamHandler

__all__ = ["TextHandler", "aclosing", "next_of", "task_context", "zip_strict"]

_MISSING: Any = object()


@overload
def zip_strict(first: Iterable[A], second: Iterable[B], /) -> Iterator[tuple[A, B]]: ...


@overload
def zip_strict(
    first: Iterable[A], second: Iterable[B], third: Iterable[C], /
) -> Iterator[tuple[A, B, C]]: ...


@overload
def zip_strict(*iterables: Iterable[A]) -> Iterator[tuple[A, ...]]: ...


def zip_strict(*iterables: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Return `zip` of what must be of one length: before 3.10 it cannot raise ValueError."""
    if sys.version_info >= (3, 10):
        return zip(*iterables, strict=True)
    return _zip_strict(*iterables)


def _zip_strict(*iterables: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    for row in zip_longest(*iterables, fillvalue=_MISSING):
        if any(one is _MISSING for one in row):
            raise ValueError("zip_strict() arguments differ in length")
        yield row


async def next_of(iterator: AsyncIterator[A]) -> A | None:
    """Return what comes next, None at the end: `anext` came with Python 3.10."""
    try:
        return await iterator.__anext__()
    except StopAsyncIteration:
        return None


def task_context(task: asyncio.Task[Any]) -> Context:
    """Return the context that a task runs in: Python 3.12 and later have `Task.get_context`.

    Raises RuntimeError on older ones.
    """
    if sys.version_info < (3, 12):
        raise RuntimeError("the context of a task needs Python 3.12")
    return task.get_context()
