"""Tokens that a client sends as ``Authorization: Bearer``, by their digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

from flask import Request

from wsgi_app.auth.refusals import unauthorized
from wsgi_app.auth.reloaded_file import ReloadedFile
from wsgi_app.config import setting_name
from wsgi_app.tokens import Principal, digest, parse_tokens_file

#: Finds who a token is; None for nobody.
Lookup = Callable[[str], Optional[Principal]]


def bearer_token(request: Request) -> str:
    """The token that the request brings; the scheme's name has no case (RFC 9110, 11.1).

    LangGraph's clients know another header for it, which counts where this one is missing.
    """
    if "Authorization" not in request.headers:
        return request.headers.get("X-Api-Key", "").strip()
    scheme, _, token = request.headers["Authorization"].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def by_bearer(lookups: list[Lookup]) -> Callable[[Request], Principal]:
    """Authenticate by the first of these that knows the request's token."""

    def find_principal(request: Request) -> Principal:
        token = bearer_token(request)
        for look_up in lookups:
            principal = look_up(token)
            if principal is not None:
                return principal
        raise unauthorized("Send a valid token as Authorization: Bearer <token>.")

    return find_principal


def token_lookup(tokens: Mapping[bytes, Principal], path: Path | None) -> Lookup:
    """Look tokens up in the setting, then in the file, which may change; raises ConfigError.

    By digest: how long a look-up takes shows nothing about a token.
    """
    if path is None:
        return lambda token: tokens.get(digest(token))
    file = ReloadedFile(path, parse_tokens_file, setting_name("tokens_file"))

    def look_up(token: str) -> Principal | None:
        key = digest(token)
        return tokens.get(key) or file.content().get(key)

    return look_up
