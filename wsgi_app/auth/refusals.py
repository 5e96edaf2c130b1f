"""The refusals of who may not pass."""

from __future__ import annotations

from wsgi_app.errors import RequestError
from wsgi_app.tokens import Principal, Scope

_CHALLENGE = "WWW-Authenticate"


def unauthorized(message: str) -> RequestError:
    """The refusal of who has not said who it is."""
    return RequestError("unauthorized", message, headers={_CHALLENGE: "Bearer"})


def demand_scope(principal: Principal, scope: Scope, hint: str = "") -> None:
    """Refuse who lacks a scope; raises RequestError ``forbidden`` that names it (RFC 6750, 3.1).

    ``hint``: who has it.
    """
    if scope in principal.scopes:
        return
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    message = f"This needs the scope {scope}.{hint}"
    raise RequestError("forbidden", message, {"scope": scope}, headers={_CHALLENGE: challenge})
