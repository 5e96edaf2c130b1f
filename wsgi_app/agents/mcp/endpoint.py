"""How an MCP server is reached, and how the host treats it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, Literal, Union

from mcp.client import Transport

#: A turn's first wait for a server, which may be a program that has yet to start.
CONNECT_TIMEOUT_SECONDS: Final = 30.0
CALL_TIMEOUT_SECONDS: Final = 60.0
#: A picture of some megabytes, twice, as servers send it; far less than what hurts a worker.
MAX_RESULT_BYTES: Final = 8_388_608

#: Whose calls ask the user first: all, those that are not declared harmless, or those named.
Approve = Union[Literal["never", "destructive", "always"], frozenset[str]]


class Wire:
    """What a connection's transport and its user tell each other. Used on one loop alone."""

    def __init__(self, server: str, max_message_bytes: int) -> None:
        #: The server's name, for the log.
        self.server = server
        #: A longer message of the server is not kept, see `Messages`.
        self.max_message_bytes = max_message_bytes
        #: Whether the server can send nothing more: what is asked now reaches nobody.
        self.ended = False
        #: Whether the server keeps something for this connection alone.
        self.is_stateful = False


class Era:
    """Whether a server is known to speak the older protocols alone.

    Written and read by any thread, whole each time: who reads an old value asks the server.
    """

    def __init__(self) -> None:
        self.is_legacy = False


@dataclass(frozen=True)
class McpEndpoint:
    """How to reach a server, and how long to wait for it."""

    #: Distinguishes servers: in messages, and before a tool's name where two have the same.
    name: str
    #: Makes the client's transport again for each connection.
    make_transport: Callable[[Wire], Transport] = field(repr=False)  # it holds what may be secret
    _: KW_ONLY
    #: The name among servers of one agent that would have the same one; None: a given name stays.
    long_name: str | None = None
    #: The server's tools that the model gets; None for all.
    tools: frozenset[str] | None = None
    approve: Approve = "never"
    #: Whether calls of one step that may change something run at the same time.
    parallel_calls: bool = False
    #: The client's mode: ``auto``, ``legacy``, or a version of the protocol.
    protocol: str = "auto"
    #: For the connection, and for the first list of tools.
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    #: For a call, not counting the time that the user takes to answer the server's questions.
    call_timeout_seconds: float = CALL_TIMEOUT_SECONDS
    max_result_bytes: int = MAX_RESULT_BYTES
    era: Era = field(default_factory=Era, compare=False, repr=False)
