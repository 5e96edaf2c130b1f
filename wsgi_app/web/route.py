"""A route as one row, and the table of all rows: logins, errors and descriptions follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Optional

from flask import Response

from wsgi_app.tokens import Scope
from wsgi_app.web.envelope import OWN, Envelope
from wsgi_app.web.operation import Operation

View = Callable[..., Response]
Scopes = Optional[tuple[Scope, ...]]

#: For routes that need no login.
OPEN: Final[Scopes] = None
READ: Final[Scopes] = ("read",)
CHAT: Final[Scopes] = ("chat",)
CANCEL: Final[Scopes] = ("cancel",)
#: Both writes, and ends what runs.
DELETE: Final[Scopes] = ("chat", "cancel")
ADMIN: Final[Scopes] = ("admin",)

#: The endpoint of what no route is for.
UNKNOWN: Final = "unknown"


class Route(NamedTuple):
    """What leads to a view, who may call it, and how it is described."""

    #: ``WS`` for a WebSocket.
    method: str
    #: Below the mount's prefix.
    path: str
    #: Gets the mount, and the path's variables by name; its docstring's first line is the summary.
    view: View
    #: What a request must bring, all of them.
    scopes: Scopes
    about: Operation
    #: Whether a session's ticket opens it too.
    ticket: bool = False
    #: Whether this machine itself needs no login, with AGENT_METRICS_LOCAL.
    local: bool = False
    #: The shape of what it refuses.
    errors: Envelope = OWN

    @property
    def name(self) -> str:
        """Its endpoint's name in the blueprint."""
        return self.view.__name__


class Wire(NamedTuple):
    """A group of routes, such as those of one format on the network."""

    name: str
    routes: tuple[Route, ...]
    #: Of what is below this path and is none of the routes, refused in the shape of `errors`.
    root: str = ""
    errors: Envelope = OWN

    @property
    def unknown(self) -> str:
        """The endpoint of paths below the root that are none of its routes."""
        return f"{UNKNOWN}_to_{self.name}"


class RouteTable:
    """The routes of a host; not changed once it is made."""

    def __init__(self, wires: Iterable[Wire] = ()) -> None:
        """Raises ValueError where two routes have views of one name."""
        self.wires = tuple(wires)
        self.rows = tuple(row for wire in self.wires for row in wire.routes)
        self._by_name = {row.name: row for row in self.rows}
        if len(self._by_name) < len(self.rows):
            names = [row.name for row in self.rows]
            raise ValueError(f"two routes are called {max(names, key=names.count)}")
        self._unknown = {wire.unknown: wire.errors for wire in self.wires}

    def find(self, endpoint: str) -> Route | None:
        """The route of a request's endpoint; None for what no route is for."""
        return self._by_name.get(endpoint.rpartition(".")[2])

    def errors_of(self, endpoint: str) -> Envelope:
        """The shape of what is refused below an endpoint that is no route's."""
        return self._unknown.get(endpoint.rpartition(".")[2], OWN)
