"""The tools of a session's MCP servers, as the model knows them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import logging
import re
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp_types import Tool as RemoteTool

from wsgi_app.agents.approvals import ApprovedTool
from wsgi_app.agents.mcp.connection import McpConnection
from wsgi_app.agents.mcp.endpoint import Approve, McpEndpoint
from wsgi_app.agents.mcp.results import output_of
from wsgi_app.agents.tool_call import CallRefused, CallRequest, PreparedCall
from wsgi_app.agents.tool_schema import with_items
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.agents.tools import AnyTool, OnCrash
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import as_text
from wsgi_app.engine.turn.valid_messages import parse_object

log = logging.getLogger("wsgi_app")

#: Until all servers have said good-bye, or are killed.
CLOSE_SECONDS: Final = 10.0
MAX_NAME_CHARS: Final = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)


@dataclass(frozen=True)
class McpTool:
    """A tool of a connected server, for one turn; used by any thread of that turn's agent."""

    #: As the model knows it.
    name: str
    description: str
    #: The JSON schema of its arguments; the server checks them.
    parameters: dict[str, Any]
    connection: McpConnection
    #: As the server knows it.
    remote: RemoteTool

    @property
    def lane(self) -> McpConnection | None:
        """See `lane_of`: what may change something at a server waits for what did before."""
        is_free = self.connection.endpoint.parallel_calls or _reads_only(self.remote)
        return None if is_free else self.connection

    @property
    def on_crash(self) -> OnCrash:
        """See `on_crash_of`: what may run again without a further effect does."""
        hints = self.remote.annotations
        repeats = hints is not None and hints.idempotent_hint is True
        return "retry" if repeats or _reads_only(self.remote) else "tell"

    @property
    def source(self) -> str:
        """The server's name, for who looks for a tool."""
        return self.connection.name

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """See `AnyTool.prepare`: what it gives calls the server, and waits.

        That raises ValueError with a text for the model for what the tool or the server refuses,
        ConnectionError, TimeoutError, and TurnCancelled at once when the turn ends.
        """
        arguments = parse_object(call.arguments.strip() or "{}")
        if arguments is None:
            raise CallRefused("bad arguments: they must be a JSON object")
        return PreparedCall(arguments, lambda: self._run(turn, arguments))

    def _run(self, turn: Turn, arguments: dict[str, Any]) -> Any:
        result = turn.run_async(self.connection.call(turn, self.remote, arguments))
        output = output_of(result)
        if result.is_error:
            raise CallRefused(as_text(output))
        return bounded_json(output)


class McpConnections:
    """The connections of one session to all of an agent's servers.

    Used by the threads of one turn after the other, and closed by any thread; ``_lock`` guards
    which loop they live on and whether they are closed. All else happens on that loop.
    """

    def __init__(self, servers: Sequence[McpEndpoint], taken: Collection[str] = ()) -> None:
        """``taken``: the names of the agent's other tools, which stay theirs."""
        self._connections = [
            McpConnection(server, name)
            for server, name in zip(servers, names_of(servers), strict=True)
        ]
        self._taken = taken
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def has_new_tools(self) -> bool:
        """Whether a server has reported that its tools changed since the last listing."""
        return any(connection.has_new_tools for connection in self._connections)

    def tools(self, turn: Turn) -> list[AnyTool]:
        """All servers' tools, as they are now; connects where there is no connection.

        Blocks the turn's thread, until the turn ends or a server's time is over. Raises TurnError
        when a server cannot be used.
        """
        return turn.run_async(self._list_tools(turn))

    def close(self) -> None:
        """End all connections and the programs behind them; a call still running fails.

        Returns when they are gone, or after `CLOSE_SECONDS`; never to be used again.
        """
        with self._lock:
            self._closed, loop = True, self._loop
        if loop is None:
            return
        closing = self._close()
        try:
            future = asyncio.run_coroutine_threadsafe(closing, loop)
        except RuntimeError:
            closing.close()  # the loop has ended, and its tasks with it
            return
        try:
            future.result(CLOSE_SECONDS)
        except concurrent.futures.TimeoutError:
            log.warning("MCP servers are still ending: %s", [c.name for c in self._connections])

    async def _list_tools(self, turn: Turn) -> list[AnyTool]:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            closed = self._closed
        if closed:
            await self._close()
        listings = [connection.list_tools(turn) for connection in self._connections]
        results = await asyncio.gather(*listings, return_exceptions=True)
        found: list[tuple[McpConnection, RemoteTool]] = []
        for connection, result in zip(self._connections, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            found += [(connection, tool) for tool in result]
        return _named(found, self._taken)

    async def _close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections))


def _named(
    found: Sequence[tuple[McpConnection, RemoteTool]], taken: Collection[str]
) -> list[AnyTool]:
    """Give each tool a name that the model may use and that no other tool has."""
    count = Counter([_valid(tool.name) for _, tool in found])
    count.update(taken)
    used = set(taken)
    tools: list[AnyTool] = []
    for connection, tool in found:
        name = _valid(tool.name)
        if count[name] > 1:
            name = _valid(f"{connection.name}_{tool.name}")
        name = _unused(name, used)
        used.add(name)
        tools.append(_as_tool(connection, tool, name))
    return tools


def _valid(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:MAX_NAME_CHARS] or "_"


def _unused(name: str, used: Collection[str]) -> str:
    if name not in used:
        return name
    numbered = (f"{name[: MAX_NAME_CHARS - 5]}_{number}" for number in itertools.count(2))
    return next(candidate for candidate in numbered if candidate not in used)


def _as_tool(connection: McpConnection, tool: RemoteTool, name: str) -> AnyTool:
    # Providers refuse an object without properties, which JSON schema allows.
    parameters = with_items({"type": "object", "properties": {}, **tool.input_schema})
    description = tool.description or tool.title or ""
    made = McpTool(name, description, parameters, connection, tool)
    return ApprovedTool(made) if asks_first(connection.endpoint.approve, tool) else made


def asks_first(approve: Approve, tool: RemoteTool) -> bool:
    """Whether a tool's calls wait for the user's approval."""
    if isinstance(approve, frozenset):
        return tool.name in approve
    if approve != "destructive":
        return approve == "always"
    hints = tool.annotations
    is_harmless = hints is not None and hints.destructive_hint is False
    return not (is_harmless or _reads_only(tool))


def _reads_only(tool: RemoteTool) -> bool:
    return tool.annotations is not None and tool.annotations.read_only_hint is True


def names_of(servers: Sequence[McpEndpoint]) -> list[str]:
    """The servers' names; of those that were given none, the address if two had the same."""
    count = Counter(server.name for server in servers)
    return [
        server.long_name if count[server.name] > 1 and server.long_name else server.name
        for server in servers
    ]
