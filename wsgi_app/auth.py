"""Who is asking: from a request to the tenant that is billed and isolated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import NamedTuple

from flask import Request

from wsgi_app.config import Settings
from wsgi_app.errors import RequestError

DEVELOPMENT_TOKEN = "dev"  # noqa: S105 - public on purpose, and only good on the machine itself
DEVELOPMENT_TENANT = "demo-tenant"

#: A proxy that adds one of these, or any X-Forwarded-…, speaks for somebody else.
FORWARDING_HEADERS = (
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class Principal(NamedTuple):
    """Who is asking."""

    tenant: str


#: Answers who is asking; None for 401. A bare string is the tenant's name.
Authenticate = Callable[[Request], "Principal | str | None"]
Authenticator = Callable[[Request], Principal]


def make_authenticator(settings: Settings, authenticate: Authenticate | None) -> Authenticator:
    """Choose how to authenticate: the callable, else the tokens, else development mode.

    The result raises RequestError ``unauthorized`` or ``forbidden``.
    """
    if authenticate is not None:
        return _by_callable(authenticate, frozenset(settings.cors_origins))
    if settings.tokens:
        return _by_tokens(settings.tokens)
    return _development


def _by_callable(authenticate: Authenticate, allowed_origins: frozenset[str]) -> Authenticator:
    def by_callable(request: Request) -> Principal:
        _refuse_cross_site(request, allowed_origins)
        found = authenticate(request)
        if found is None:
            raise _unauthorized("Log in first.")
        principal = Principal(found) if isinstance(found, str) else found
        if not isinstance(principal, Principal):
            kind = type(found).__name__
            raise TypeError(f"authenticate must return a str, a Principal or None, not {kind}")
        if not principal.tenant:
            raise _unauthorized("Log in first.")
        return principal

    return by_callable


def _refuse_cross_site(request: Request, allowed_origins: frozenset[str]) -> None:
    """Refuse another site's page: the callable may trust a cookie, which browsers send along.

    Browsers tell the origin of every request that is not a plain read (Fetch, section 3.2).
    """
    if request.method not in ("GET", "HEAD"):
        check_origin(request, allowed_origins)


def check_origin(request: Request, allowed_origins: Collection[str]) -> None:
    """Refuse a page of another origin than the host's own and these; raises RequestError."""
    origin = request.headers.get("Origin")
    if origin is None or origin in allowed_origins:
        return
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return
    if origin not in (f"http://{request.host}", f"https://{request.host}"):
        raise RequestError("forbidden", "This origin may not use the site's login.")


def _by_tokens(tokens: dict[str, str]) -> Authenticator:
    # Looked up by digest: how long a look-up takes tells nothing about a token.
    tenants = {_digest(token): tenant for token, tenant in tokens.items()}

    def by_tokens(request: Request) -> Principal:
        tenant = tenants.get(_digest(_bearer_token(request)))
        if tenant is None:
            raise _unauthorized("Send a valid token as Authorization: Bearer <token>.")
        return Principal(tenant)

    return by_tokens


def _development(request: Request) -> Principal:
    names = [name.lower() for name, _ in request.headers]
    forwarded = any(n in FORWARDING_HEADERS or n.startswith("x-forwarded-") for n in names)
    if request.remote_addr not in LOOPBACK_ADDRESSES or forwarded:
        raise _unauthorized(
            "No tokens are configured, so only this machine itself may use the development token:"
            " set AGENT_TOKENS or AGENT_TOKENS_FILE, or pass authenticate= to AgentHost."
        )
    if _bearer_token(request) != DEVELOPMENT_TOKEN:
        raise _unauthorized(
            "Development mode: send Authorization: Bearer dev, or set AGENT_TOKENS."
        )
    return Principal(DEVELOPMENT_TENANT)


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _unauthorized(message: str) -> RequestError:
    return RequestError("unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
