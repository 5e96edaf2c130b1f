"""One open connection to an MCP server, held by a task of its own."""

from __future__ import annotations

import asyncio
import logging
import math
from contextvars import Context
from typing import Any, Final

import anyio
from mcp import Client, MCPError
from mcp.client.session import ElicitationFnT
from mcp_types import CallToolResult, ToolListChangedNotification
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from wsgi_app.agents.mcp.endpoint import McpEndpoint, Wire
from wsgi_app.agents.mcp.faults import fault_of

log = logging.getLogger("wsgi_app")

#: For an HTTP server's good-bye; a program is ended within 7 s, by bounds of its own.
END_SECONDS: Final = 5.0


class McpLink:
    """Connects at once; lives until `stop`, or until the connection breaks.

    The client's contexts must be left by the task that entered them, and no turn's task lives long
    enough: hence ``task``, which no turn's end cancels. Used on the ``agents`` loop alone.
    """

    def __init__(self, endpoint: McpEndpoint, elicit: ElicitationFnT) -> None:
        self._endpoint = endpoint
        self._elicit = elicit
        self.wire = Wire(endpoint.name, endpoint.max_result_bytes)
        #: Whether it has connected.
        self.was_open = False
        #: Whether the server has reported that its tools have changed.
        self.has_new_tools = False
        #: Whether a call got no answer in its time: the server may no longer answer anything.
        self.is_doubtful = False
        self._over = False
        self._client: Client | None = None
        self._error: Exception | None = None
        self._settled = asyncio.Event()
        self._stop = asyncio.Event()
        deadline = anyio.current_time() + endpoint.connect_timeout_seconds
        self._scope = anyio.CancelScope(deadline=deadline)
        # An empty context: what the present turn's one holds must not live as long as this.
        self.task = Context().run(asyncio.get_running_loop().create_task, self._hold())

    @property
    def over(self) -> bool:
        """Whether it is stopped or broken."""
        return self._over or self.wire.ended

    async def get_client(self) -> Client:
        """Wait for the connected client; raises ConnectionError if there is none."""
        await self._settled.wait()
        if self._client is None:
            text = f"the MCP server {self._endpoint.name!r} cannot be reached"
            fault = None if self._error is None else fault_of(self._error)
            if fault is not None and fault.status:
                text += f": {fault.reason}"
            raise ConnectionError(text) from self._error
        return self._client

    def stop(self) -> None:
        """Begin to end the connection; ``task`` is done when the server's process is gone."""
        self._over = True
        self._stop.set()
        if self._client is None:
            self._scope.cancel()

    async def _hold(self) -> None:
        try:
            with self._scope:
                await self._connect()
            if self._scope.cancelled_caught:
                self._error = TimeoutError("it did not answer in time")
        except Exception as error:  # noqa: BLE001 - whatever a server may do; get_client reports it
            self._error = error
        finally:
            if not self.was_open:
                self._endpoint.era.is_legacy = False  # it may have learnt since
            self._over = True
            self._client = None
            self._settled.set()

    async def _connect(self) -> None:
        endpoint = self._endpoint
        mode = endpoint.protocol
        if mode == "auto" and endpoint.era.is_legacy:
            mode = "legacy"  # servers log pages about the question for newer ones, or wait it out
        client = Client(
            endpoint.make_transport(self.wire),
            mode=mode,
            elicitation_callback=self._elicit,
            message_handler=self._take,
            cache=None,  # a turn's list of tools also shows whether the server is still there
        )
        async with client:
            endpoint.era.is_legacy = client.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS
            # What a tool has done is done: its result is for the model, whatever its schema says.
            session: Any = client.session
            session.validate_tool_result = _trust
            self._client = client
            self.was_open = True
            self._scope.deadline = math.inf
            self._settled.set()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, client)
                await self._stop.wait()
                tasks.cancel_scope.cancel()
            self._scope.deadline = anyio.current_time() + END_SECONDS

    async def _listen(self, client: Client) -> None:
        """Hear of new tools as the newer protocols tell of them: to those who ask.

        Not over HTTP, where that is a request without an end: a server that is told to end waits
        for its requests (uvicorn does, for ever).
        """
        tools = client.server_capabilities.tools
        is_older = client.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS
        if is_older or not self.wire.is_stateful or tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self.has_new_tools = True
        except (MCPError, RuntimeError, OSError) as error:
            log.info("MCP server %s announces no new tools: %s", self._endpoint.name, error)

    async def _take(self, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.has_new_tools = True


async def _trust(_name: str, _result: CallToolResult) -> None:
    """Take a result as it is."""
