"""MCP servers as a source of tools for the built-in agent."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO, cast

import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client import Transport
from mcp.client.streamable_http import streamable_http_client

from wsgi_app.agents.mcp_link import McpEndpoint
from wsgi_app.agents.mcp_tools import McpConnections
from wsgi_app.logs import hide_urls_secrets

#: A turn's first wait for a server, which may be a program that has yet to start.
CONNECT_TIMEOUT_SECONDS: Final = 30.0
CALL_TIMEOUT_SECONDS: Final = 60.0
#: For one connection to an HTTP server, and for sending to it.
HTTP_TIMEOUT_SECONDS: Final = 30.0


class McpServer(McpEndpoint):
    """A server of the Model Context Protocol as a source of tools; made by `stdio` or `http`.

    Only a description: immutable, used by any number of agents, sessions and threads. Each session
    has a connection of its own.
    """

    @classmethod
    def stdio(  # noqa: PLR0913 - what an MCP server's configuration holds everywhere
        cls,
        command: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        *,
        cwd: str | Path | None = None,
        name: str | None = None,
        tools: Collection[str] | None = None,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        call_timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> McpServer:
        """A program that speaks MCP on its standard input and output: one process per session.

        ``env`` is added to HOME, PATH and the like; nothing else of the worker's environment
        reaches the program. Its standard error is the worker's.
        """
        values = dict(env) if env is not None else None
        program = StdioServerParameters(command=command, args=list(args), env=values, cwd=cwd)
        return cls(
            name or Path(command).stem,
            partial(_start_program, program),
            tools=_as_set(tools),
            connect_timeout_seconds=connect_timeout_seconds,
            call_timeout_seconds=call_timeout_seconds,
        )

    @classmethod
    def http(  # noqa: PLR0913 - as `stdio`
        cls,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        tools: Collection[str] | None = None,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        call_timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> McpServer:
        """A server at ``url`` that speaks MCP's streamable HTTP.

        ``headers``, such as ``Authorization``, go along with every request.
        """
        hide_urls_secrets()
        return cls(
            name or httpx2.URL(url).host or "http",
            partial(_open_http, url, dict(headers or {})),
            tools=_as_set(tools),
            connect_timeout_seconds=connect_timeout_seconds,
            call_timeout_seconds=call_timeout_seconds,
        )

    @staticmethod
    def connect(servers: Sequence[McpEndpoint], taken: Collection[str]) -> McpConnections:
        """The tools of several servers, for one session; ``taken`` are the names of others."""
        return McpConnections(servers, taken)


def _as_set(tools: Collection[str] | None) -> frozenset[str] | None:
    return None if tools is None else frozenset(tools)


def _start_program(program: StdioServerParameters) -> Transport:
    # The client's default is what sys.stderr was at its import. None stands for the worker's, too.
    return stdio_client(program, errlog=cast("TextIO", sys.__stderr__))


@asynccontextmanager
async def _open_http(url: str, headers: dict[str, str]) -> AsyncGenerator[Any, None]:
    # Reading has no limit here: a call has its own, and the server's own messages may be rare.
    timeout = httpx2.Timeout(HTTP_TIMEOUT_SECONDS, read=None)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams
