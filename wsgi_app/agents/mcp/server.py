"""The description of an MCP server, as a site's author gives it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Union

import httpx2
from mcp import StdioServerParameters
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from wsgi_app.agents.mcp.endpoint import McpEndpoint
from wsgi_app.agents.mcp.http import open_http
from wsgi_app.agents.mcp.program import run_program
from wsgi_app.agents.mcp.tools import McpConnections
from wsgi_app.logs import hide_urls_secrets

if TYPE_CHECKING:
    from typing_extensions import Unpack

_APPROVALS = ("never", "destructive", "always")
_PROTOCOLS = ("auto", "legacy", *MODERN_PROTOCOL_VERSIONS)


class McpOptions(TypedDict, total=False):
    """What `McpServer.stdio` and `McpServer.http` both take.

    ``name``: for messages, and before a tool's name where two servers have the same.
    ``tools``: the names of those tools that the model gets; all without it. A name that the server
    does not have ends the turn with an error.

    ``approve``: which calls ask the user first. ``"never"``, ``"always"``, the names of tools, or
    ``"destructive"``: those of tools that the server does not declare harmless by ``readOnlyHint``
    or by ``destructiveHint: false``, which is what the protocol says of a tool without hints.

    ``parallel_calls``: whether calls of one step that are not of tools with ``readOnlyHint`` run at
    the same time; without it they run one after the other, in the model's order.

    ``protocol``: ``"auto"`` asks the server for the newest protocol, and falls back. ``"legacy"``
    begins with the handshake of the versions until 2025-11-25: for a server that asks the user in
    the middle of a call as only they allow, that logs a page about a question it does not know, or
    that does not answer one at all. A version, such as ``"2026-07-28"``, is taken without asking.

    ``connect_timeout_seconds`` (30): for the connection and the first list of tools.
    ``call_timeout_seconds`` (60): for a call. ``max_result_bytes`` (8 MiB): a longer message of the
    server is not read, and the call is an error for the model.
    """

    name: str | None
    tools: Collection[str] | None
    approve: str | Collection[str]
    parallel_calls: bool
    protocol: str
    connect_timeout_seconds: float
    call_timeout_seconds: float
    max_result_bytes: int


class McpServer(McpEndpoint):
    """A server of the Model Context Protocol as a source of tools; made by `stdio` or `http`.

    Only a description: immutable, used by any number of agents, sessions and threads. Each session
    has a connection of its own. What both ways take is described at `McpOptions`.
    """

    @classmethod
    def stdio(
        cls,
        command: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        *,
        cwd: str | Path | None = None,
        **options: Unpack[McpOptions],
    ) -> McpServer:
        """A program that speaks MCP on its standard input and output: one process per session.

        ``env`` is added to HOME, PATH and the like; nothing else of the worker's environment
        reaches the program. Its standard error is the worker's.
        """
        values = dict(env) if env is not None else None
        program = StdioServerParameters(command=command, args=list(args), env=values, cwd=cwd)
        name = options.pop("name", None) or Path(command).stem
        return cls(name, partial(run_program, program), **_checked(options))

    @classmethod
    def http(
        cls,
        url: str,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[McpOptions],
    ) -> McpServer:
        """A server at ``url`` that speaks MCP's streamable HTTP.

        ``headers``, such as ``Authorization``, go along with every request.
        """
        hide_urls_secrets()
        name = options.pop("name", None)
        long_name = None if name else _address(url)
        return cls(
            name or httpx2.URL(url).host or "http",
            partial(open_http, url, dict(headers or {})),
            long_name=long_name,
            **_checked(options),
        )

    def approved(self) -> McpServer:
        """The same server, each call of which asks the user first; see `approve`."""
        return replace(self, approve="always")

    @staticmethod
    def connect(servers: Sequence[McpEndpoint], taken: Collection[str]) -> McpConnections:
        """The tools of several servers, for one session; ``taken`` are the names of others."""
        return McpConnections(servers, taken)


def _checked(options: Any) -> dict[str, Any]:
    """The options as an endpoint has them; raises ValueError for what none of them can be."""
    made = dict(options)
    protocol = made.get("protocol", "auto")
    if protocol not in _PROTOCOLS:
        raise ValueError(f"protocol is one of {', '.join(_PROTOCOLS)}: {protocol!r}")
    approve: Union[str, Collection[str]] = made.get("approve", "never")
    if isinstance(approve, str):
        if approve not in _APPROVALS:
            raise ValueError(f"approve is one of {', '.join(_APPROVALS)}, or names: {approve!r}")
    else:
        made["approve"] = frozenset(approve)
    if made.get("tools") is not None:
        made["tools"] = frozenset(made["tools"])
    return made


def _address(url: str) -> str:
    """Where a server is, without what may be secret in a URL."""
    parts = httpx2.URL(url)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.host or 'http'}{port}{parts.path.rstrip('/')}"
