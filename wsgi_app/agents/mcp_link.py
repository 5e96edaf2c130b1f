"""One open connection to an MCP server, held by a task of its own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

import anyio
from mcp import Client
from mcp.client import Transport
from mcp.client.session import ElicitationFnT

#: For an HTTP server's good-bye; a program is ended within 7 s, by bounds of the client's own.
END_SECONDS: Final = 5.0


@dataclass(frozen=True)
class McpEndpoint:
    """How to reach a server, and how long to wait for it."""

    #: Tells servers apart: in messages, and before a tool's name where two have the same.
    name: str
    #: Makes the client's transport anew for each connection.
    make_transport: Callable[[], Transport] = field(repr=False)  # it holds what may be secret
    _: KW_ONLY
    #: The server's tools that the model gets; None for all.
    tools: frozenset[str] | None
    #: For the connection, and for the list of tools.
    connect_timeout_seconds: float
    #: For a call, not counting the time that the user takes to answer the server's questions.
    call_timeout_seconds: float


class McpLink:
    """Connects at once; lives until `stop`, or until the connection breaks.

    The client's contexts must be left by the task that entered them, and no turn's task lives long
    enough: hence ``task``, which no turn's end cancels. Used on the ``agents`` loop alone.
    """

    def __init__(self, endpoint: McpEndpoint, elicit: ElicitationFnT) -> None:
        self._endpoint = endpoint
        self._elicit = elicit
        #: Whether it is stopped or broken.
        self.over = False
        self._client: Client | None = None
        self._error: Exception | None = None
        self._settled = asyncio.Event()
        self._stop = asyncio.Event()
        deadline = anyio.current_time() + endpoint.connect_timeout_seconds
        self._scope = anyio.CancelScope(deadline=deadline)
        # An empty context: what the present turn's one holds must not live as long as this.
        self.task = Context().run(asyncio.get_running_loop().create_task, self._hold())

    async def get_client(self) -> Client:
        """Wait for the connected client; raises ConnectionError if there is none."""
        await self._settled.wait()
        if self._client is None:
            text = f"the MCP server {self._endpoint.name!r} cannot be reached"
            raise ConnectionError(text) from self._error
        return self._client

    def stop(self) -> None:
        """Begin to end the connection; ``task`` is done when the server's process is gone."""
        self.over = True
        self._stop.set()
        if self._client is None:
            self._scope.cancel()

    async def _hold(self) -> None:
        try:
            with self._scope:
                await self._connect()
            if self._scope.cancelled_caught:
                self._error = TimeoutError("it did not answer in time")
        except Exception as error:  # noqa: BLE001 - whatever a server may do; told by get_client
            self._error = error
        finally:
            self.over = True
            self._client = None
            self._settled.set()

    async def _connect(self) -> None:
        transport = self._endpoint.make_transport()
        # Without a cache: a turn's list of tools also shows whether the server is still there.
        async with Client(transport, elicitation_callback=self._elicit, cache=None) as client:
            self._client = client
            self._scope.deadline = math.inf
            self._settled.set()
            await self._stop.wait()
            self._scope.deadline = anyio.current_time() + END_SECONDS
