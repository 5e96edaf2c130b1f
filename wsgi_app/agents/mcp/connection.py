"""A session's connection to one MCP server: opened on first use, and again when it was lost."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import anyio
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp_types import URL_ELICITATION_REQUIRED, CallToolResult, ElicitRequestParams, ElicitResult
from mcp_types import Tool as RemoteTool

from wsgi_app.agents.mcp.asking import Asking
from wsgi_app.agents.mcp.endpoint import McpEndpoint
from wsgi_app.agents.mcp.faults import describe_causes, fault_of, unusable
from wsgi_app.agents.mcp.link import McpLink
from wsgi_app.agents.mcp.listing import list_tools
from wsgi_app.agents.mcp.progress import Progress, emit_status
from wsgi_app.agents.mcp.tasks import call_as_task, needs_task
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnError

log = logging.getLogger("wsgi_app")

#: A server to which there is a connection lists its tools within this, or gets a new connection.
ANSWER_SECONDS: Final = 5.0
#: How often a call is made again because the user had to open a page for it.
MAX_VISITS: Final = 3


class McpConnection:
    """Used on the ``agents`` loop alone, by one turn at a time and any number of its tasks."""

    def __init__(self, endpoint: McpEndpoint, name: str) -> None:
        self._endpoint = endpoint
        #: The server's name among those of the agent.
        self.name = name
        self._link: McpLink | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._turn: Turn | None = None
        self._limits: set[anyio.CancelScope] = set()
        self._asking = Asking(name, self._stop_clocks, self._start_clocks)

    @property
    def endpoint(self) -> McpEndpoint:
        """How the server is reached."""
        return self._endpoint

    @property
    def has_new_tools(self) -> bool:
        """Whether the server has reported that its tools changed since the last listing."""
        return self._link is not None and self._link.has_new_tools

    async def list_tools(self, turn: Turn) -> list[RemoteTool]:
        """List the server's tools that the model gets; raises TurnError."""
        self._turn = turn
        limit = self._endpoint.connect_timeout_seconds
        if self._link is not None and not self._link.over and self._link.was_open:
            try:
                return await self._list_tools(min(ANSWER_SECONDS, limit))
            except TurnError:
                raise
            except Exception as error:  # noqa: BLE001 - of a server that may be restarted
                # Since the last turn the server may have ended, or forgotten the session, or be
                # busy for ever with what was cancelled.
                log.warning("MCP server %s: %s", self.name, describe_causes(error))
                self._drop_link()
        try:
            return await self._list_tools(limit)
        except TurnError:
            raise
        except Exception as error:
            log.warning("MCP server %s cannot be used: %s", self.name, describe_causes(error))
            raise unusable(self.name, error) from error

    async def call(self, turn: Turn, tool: RemoteTool, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool; a cancel of the caller is passed on to the server.

        A connection that is lost before the server has got the call is made again, once. Raises
        ValueError with the server's text if it refuses, ConnectionError and TimeoutError.
        """
        self._turn = turn
        try:
            return await self._call(turn, tool, arguments)
        except MCPError as error:
            fault = fault_of(error)
            if fault is None or not fault.is_lost or fault.may_have_run:
                raise self._failure(error) from error
            log.warning("MCP server %s: %s; it is connected again", self.name, fault.text)
        self._drop_link()
        try:
            return await self._call(turn, tool, arguments)
        except MCPError as error:
            raise self._failure(error) from error

    async def close(self) -> None:
        """End the connection for good; returns once the server's process is gone."""
        self._closed = True
        self._drop_link()
        if self._closing:
            await asyncio.wait(self._closing)

    # -- calls

    async def _call(
        self, turn: Turn, tool: RemoteTool, arguments: dict[str, Any]
    ) -> CallToolResult:
        await self._check_link()
        client = await self._get_client()
        for _ in range(MAX_VISITS):
            try:
                return await self._call_once(client, turn, tool, arguments)
            except MCPError as error:
                if error.code != URL_ELICITATION_REQUIRED:
                    raise
                # The server has refused to begin before the user has been at a page.
                await self._asking.visit(turn, error)
        return await self._call_once(client, turn, tool, arguments)

    async def _call_once(
        self, client: Client, turn: Turn, tool: RemoteTool, arguments: dict[str, Any]
    ) -> CallToolResult:
        progress = Progress(turn, tool.name)
        link = self._link
        limited = partial(self._limited, seconds=self._endpoint.call_timeout_seconds)
        try:
            if needs_task(tool):
                return await call_as_task(client, tool.name, arguments, limited, progress.show)
            called = client.call_tool(tool.name, arguments, progress_callback=progress.take)
            result: CallToolResult = await limited(called)
        except TimeoutError:
            if link is not None:
                link.is_doubtful = True
            raise
        return result

    def _failure(self, error: MCPError) -> Exception:
        """What a call raises for an error of the client."""
        fault = fault_of(error)
        if fault is None:
            return ValueError(error.message)
        log.warning("MCP server %s: %s", self.name, describe_causes(error))
        if fault.is_lost:
            self._drop_link()
        if not fault.status:
            text = f"the MCP server {self.name!r} has ended"
        elif error.message != fault.reason:
            text = f"the MCP server {self.name!r} refused: {error.message} ({fault.reason})"
        else:
            text = f"the MCP server {self.name!r} refused: {fault.reason}"
        if fault.may_have_run:
            text += "; the call may have been carried out all the same: see before you repeat it"
        return ConnectionError(text)

    # -- the link

    async def _get_client(self) -> Client:
        if self._link is None or self._link.over:
            if self._closed:
                raise ConnectionError("the session's agent is closed")
            self._drop_link()
            self._link = McpLink(self._endpoint, self._elicit)
            self._closing.add(self._link.task)
            self._link.task.add_done_callback(self._closing.discard)
        return await self._link.get_client()

    async def _check_link(self) -> None:
        """Replace a connection in which a call got no answer, if no other question gets one."""
        link = self._link
        if link is None or link.over or not link.is_doubtful:
            return
        try:
            client = await link.get_client()
            await self._limited(client.list_tools(), ANSWER_SECONDS)
        except (MCPError, OSError) as error:
            log.warning("MCP server %s: %s", self.name, describe_causes(error))
            self._drop_link()
        else:
            link.is_doubtful = False

    def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        link.stop()
        if link.was_open and link.wire.is_stateful and self._turn is not None and not self._closed:
            emit_status(
                self._turn, f"{self.name}: began again; what it held for this session is lost."
            )

    async def _list_tools(self, seconds: float) -> list[RemoteTool]:
        client = await self._get_client()
        if self._link is not None:
            self._link.has_new_tools = False
        listed: list[RemoteTool] = await self._limited(
            list_tools(client, self._endpoint, self.name), seconds
        )
        return listed

    # -- time limits

    async def _limited(self, awaited: Awaitable[Any], seconds: float) -> Any:
        with self._limit(seconds):
            return await awaited

    @contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """Cancel what takes too long; raises TimeoutError then."""
        deadline = math.inf if self._asking.is_asking else anyio.current_time() + seconds
        with anyio.CancelScope(deadline=deadline) as scope:
            self._limits.add(scope)
            try:
                yield
            finally:
                self._limits.discard(scope)
        if scope.cancelled_caught:
            raise TimeoutError(f"the MCP server {self.name!r} did not answer in {seconds:g} s")

    def _stop_clocks(self) -> None:
        for scope in self._limits:
            scope.deadline = math.inf

    def _start_clocks(self) -> None:
        # All the time again: what the server does with the answer has just begun.
        deadline = anyio.current_time() + self._endpoint.call_timeout_seconds
        for scope in self._limits:
            scope.deadline = deadline

    async def _elicit(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult:
        """Ask the user what the server asks in the middle of a call."""
        del context  # the client's own; a session has one turn at a time
        return await self._asking.ask(self._turn, params)
