"""How an MCP request says what it is, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Optional

from wsgi_app.wires.mcp.request import (
    CAPABILITIES_KEY,
    HANDSHAKE_VERSIONS,
    STATELESS_VERSION,
    VERSION_KEY,
    Message,
    header_value,
)

#: JSON-RPC 2.0, section 5.1.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
#: MCP's own.
SERVER_ERROR: Final = -32000
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

#: Finds a request's header; None where it has none.
Header = Callable[[str], Optional[str]]

VERSION_HEADER: Final = "MCP-Protocol-Version"


class RpcError(Exception):
    """A request is refused by the protocol's own rules."""

    def __init__(self, code: int, message: str, status: int = 400, data: Any = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.data = data


def is_stateless(message: Message, header: Header) -> bool:
    """Whether a message is of a version without a handshake, or of one that nobody knows."""
    named = header(VERSION_HEADER)
    return VERSION_KEY in message.meta or not (named is None or named in HANDSHAKE_VERSIONS)


def check_stateless(message: Message, header: Header) -> Any:
    """What the client of a stateless request can; raises RpcError.

    In this order: a client that contradicts itself gets that reason, not an unknown version.
    """
    meta = message.meta
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}.")
    version = meta[VERSION_KEY]
    _check_header(header(VERSION_HEADER), version, VERSION_HEADER)
    _check_header(header("Mcp-Method"), message.method, "Mcp-Method")
    name = (message.params or {}).get("name")
    if message.method == "tools/call" and name is not None:
        _check_header(header_value(header("Mcp-Name")), name, "Mcp-Name")
    check_version(version)
    return meta[CAPABILITIES_KEY]


def check_version(version: Any) -> None:
    """Refuse a version that this server does not speak statelessly; raises RpcError."""
    if version != STATELESS_VERSION:
        data = {"supported": [STATELESS_VERSION], "requested": version}
        raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version.", data=data)


def _check_header(sent: str | None, expected: Any, name: str) -> None:
    if sent != expected:
        raise RpcError(HEADER_MISMATCH, f"The header {name} does not say what the body does.")
