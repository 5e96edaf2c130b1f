"""A session's connection to one MCP server: opened on first use, and again when it was lost."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import anyio
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp_types import (
    CONNECTION_CLOSED,
    CallToolResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    Tool,
)

from wsgi_app.agents.mcp_link import McpEndpoint, McpLink
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnError

log = logging.getLogger("wsgi_app")

#: Of one server; providers of the chat-completions API take no more in all.
MAX_TOOLS: Final = 128


class McpConnection:
    """Used on the ``agents`` loop alone, by one turn at a time and any number of its tasks."""

    def __init__(self, endpoint: McpEndpoint) -> None:
        self._endpoint = endpoint
        self._link: McpLink | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._turn: Turn | None = None
        self._limits: set[anyio.CancelScope] = set()
        self._questions = 0

    async def list_tools(self) -> list[Tool]:
        """List the server's tools that the model gets, at most `MAX_TOOLS`; raises TurnError."""
        was_linked = self._link is not None and not self._link.over
        try:
            return await self._list_tools()
        except Exception as error:
            if not was_linked:
                raise self._unusable(error) from error
        # Since the last turn the server may have ended, or forgotten the session.
        self._drop_link()
        try:
            return await self._list_tools()
        except Exception as error:
            raise self._unusable(error) from error

    async def call(self, turn: Turn, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool; when the caller is cancelled, the server is told.

        Raises ValueError with the server's text if it refuses, ConnectionError and TimeoutError.
        """
        self._turn = turn
        try:
            client = await self._get_client()
            with self._limit(self._endpoint.call_timeout_seconds):
                result = await client.call_tool(tool, arguments)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise ValueError(error.message) from error
            # Not repeated: the server may have done what it was asked. The next call connects.
            self._drop_link()
            log.warning("MCP server %s ended its connection in the middle of a call", self.name)
            raise ConnectionError(f"the MCP server {self.name!r} has ended") from error
        except ConnectionError as error:
            log.warning("MCP server %s: %s", self.name, describe_causes(error))
            raise
        return result

    @property
    def name(self) -> str:
        """The server's name."""
        return self._endpoint.name

    async def close(self) -> None:
        """End the connection for good; returns once the server's process is gone."""
        self._closed = True
        self._drop_link()
        if self._closing:
            await asyncio.wait(self._closing)

    # -- the link

    async def _get_client(self) -> Client:
        if self._link is None or self._link.over:
            if self._closed:
                raise ConnectionError("the session's agent is closed")
            self._link = McpLink(self._endpoint, self._elicit)
            self._closing.add(self._link.task)
            self._link.task.add_done_callback(self._closing.discard)
        return await self._link.get_client()

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.stop()
            self._link = None

    async def _list_tools(self) -> list[Tool]:
        client = await self._get_client()
        wanted = self._endpoint.tools
        tools: list[Tool] = []
        cursor = None
        with self._limit(self._endpoint.connect_timeout_seconds):
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += [tool for tool in page.tools if wanted is None or tool.name in wanted]
                cursor = page.next_cursor
                if cursor is None or len(tools) > MAX_TOOLS:
                    break
        if len(tools) > MAX_TOOLS:
            log.warning("MCP server %s: the model gets %d of its tools", self.name, MAX_TOOLS)
        return tools[:MAX_TOOLS]

    def _unusable(self, error: Exception) -> TurnError:
        log.warning("MCP server %s cannot be used: %s", self.name, describe_causes(error))
        return TurnError(
            f"The MCP server {self.name!r} cannot be used.",
            {"server": self.name},
            retryable=True,
        )

    @contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """Cancel what takes too long; raises TimeoutError then."""
        with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
            self._limits.add(scope)
            try:
                yield
            finally:
                self._limits.discard(scope)
        if scope.cancelled_caught:
            raise TimeoutError(f"the MCP server {self.name!r} did not answer in {seconds:g} s")

    # -- questions of the server

    async def _elicit(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult:
        """Ask the user what the server asks in the middle of a call."""
        del context  # the client's own; a session has one turn at a time
        if self._turn is None:
            return ElicitResult(action="cancel")
        with self._clocks_stopped():
            question = asyncio.ensure_future(self._turn.ask_async(*_question(params)))
            try:
                # Not awaited itself: its cancel, at the turn's end, is not the cancel of this task,
                # whose other end would be the end of the connection.
                await asyncio.wait([question])
            finally:
                question.cancel()
        if question.cancelled():
            return ElicitResult(action="cancel")
        error = question.exception()
        if error is not None:
            log.info("MCP server %s gets no answer: %s", self.name, type(error).__name__)
            return ElicitResult(action="cancel")
        return _answer(params, question.result())

    @contextmanager
    def _clocks_stopped(self) -> Iterator[None]:
        self._questions += 1
        for scope in self._limits:
            scope.deadline = math.inf
        try:
            yield
        finally:
            self._questions -= 1
            if not self._questions:  # another call's may still wait
                # All the time again: what the server does with the answer has just begun.
                deadline = anyio.current_time() + self._endpoint.call_timeout_seconds
                for scope in self._limits:
                    scope.deadline = deadline


def describe_causes(error: BaseException) -> str:
    """One line for the log: what went wrong, also within the groups that the client raises."""
    grouped = getattr(error, "exceptions", None)  # without the class, which Python 3.10 lacks
    if grouped:
        return "; ".join(map(describe_causes, grouped))
    line = f"{type(error).__name__}: {error}"
    return line if error.__cause__ is None else f"{line} ({describe_causes(error.__cause__)})"


def _question(params: ElicitRequestParams) -> tuple[str, dict[str, Any] | None]:
    if isinstance(params, ElicitRequestFormParams):
        return params.message, params.requested_schema
    return f"{params.message}\n{params.url}", None


def _answer(params: ElicitRequestParams, answer: Any) -> ElicitResult:
    """Give the user's answer MCP's form; null and false decline."""
    if answer is None or answer is False:
        return ElicitResult(action="decline")
    if not isinstance(params, ElicitRequestFormParams):
        return ElicitResult(action="accept")
    if not isinstance(answer, dict):
        # A client without forms sends a line of text: it is the answer to an only question.
        names = list(params.requested_schema.get("properties", {}))
        if len(names) != 1:
            return ElicitResult(action="decline")
        answer = {names[0]: answer}
    return ElicitResult(action="accept", content=answer)
