"""What went wrong with a server, as the log, the user and the model get to know it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from mcp import MCPError
from mcp_types import CONNECTION_CLOSED

from wsgi_app.errors import TurnError

#: Where an error that the host itself made of an HTTP answer says so.
_KEY: Final = "io.wsgi-agent-host/fault"
#: Of a foreign answer's text, for the log.
MAX_SHOWN_CHARS: Final = 300
#: Statuses that do not change before somebody changes the configuration.
_LASTING: Final = frozenset({401, 403})


class Fault(NamedTuple):
    """Why a request of the host got no answer of MCP."""

    #: The answer's status; 0 if there was no answer.
    status: int
    #: For the log: what the server, or the client of HTTP, said.
    text: str
    #: Whether the server has forgotten the session, or can no longer be reached.
    is_lost: bool
    #: Whether the request may have been carried out.
    may_have_run: bool

    def as_data(self) -> dict[str, Any]:
        """As the data of an error of JSON-RPC."""
        return {_KEY: self._asdict()}

    @property
    def reason(self) -> str:
        """For the user and the model: the status, without foreign text."""
        if not self.status:
            return "no connection"
        try:
            return f"HTTP {self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"HTTP {self.status}"


def fault_of(error: BaseException) -> Fault | None:
    """The fault that an error, one in its group, or its cause is about; None if there is none."""
    for inner in getattr(error, "exceptions", ()):  # a group's class is not in Python 3.10
        found = fault_of(inner)
        if found is not None:
            return found
    if isinstance(error, MCPError):
        data = error.error.data
        if isinstance(data, Mapping) and isinstance(data.get(_KEY), Mapping):
            return Fault(**data[_KEY])
        if error.code == CONNECTION_CLOSED:
            return Fault(0, error.message, is_lost=True, may_have_run=True)
    return None if error.__cause__ is None else fault_of(error.__cause__)


def describe_causes(error: BaseException) -> str:
    """One line for the log: what went wrong, also within the groups that the client raises."""
    grouped = getattr(error, "exceptions", None)  # without the class, which Python 3.10 lacks
    if grouped:
        return "; ".join(map(describe_causes, grouped))
    fault = fault_of(error) if isinstance(error, MCPError) else None
    reason = f"{fault.reason}: {fault.text}" if fault is not None else str(error)
    line = f"{type(error).__name__}: {' '.join(reason.split())}"
    return line if error.__cause__ is None else f"{line} ({describe_causes(error.__cause__)})"


def unusable(server: str, error: BaseException) -> TurnError:
    """Make the error that ends a turn which cannot have a server's tools."""
    fault = fault_of(error)
    details: dict[str, Any] = {"server": server}
    if fault is None or not fault.status:
        message = f"The MCP server {server!r} cannot be used."
    else:
        message = f"The MCP server {server!r} cannot be used: {fault.reason}."
        details["http_status"] = fault.status
    lasts = fault is not None and fault.status in _LASTING
    return TurnError(message, details, retryable=not lasts)
