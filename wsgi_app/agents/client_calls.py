"""Calls of a turn's client that a framework makes one by one, asked for together."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from wsgi_app.engine import Turn
from wsgi_app.events import RequestedCall, ToolResult

#: How long the first call of a step waits for the others.
GATHER_SECONDS: Final = 0.02


class ClientCalls:
    """Used by tasks of the ``agents`` loop alone."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._waiting: list[tuple[RequestedCall, asyncio.Future[ToolResult]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def call(self, requested: RequestedCall) -> ToolResult:
        """Have the client run a call, with all that come at the same time."""
        answer: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((requested, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        waiting, self._waiting, self._asking = self._waiting, [], None
        try:
            given = await self._turn.call_client_async([call for call, _ in waiting])
        except BaseException as error:
            for _, answer in waiting:
                _fail(answer, error)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        for (_, answer), result in zip(waiting, given, strict=True):
            if not answer.done():
                answer.set_result(result)


def _fail(answer: asyncio.Future[Any], error: BaseException) -> None:
    """Hand an error on, unless the waiter has given up."""
    if answer.done():
        return
    if isinstance(error, asyncio.CancelledError):
        answer.cancel()
    else:
        answer.set_exception(error)
