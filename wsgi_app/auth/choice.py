"""Which way of authentication the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from flask import Request

from wsgi_app.auth.bearer import Lookup, by_bearer, token_lookup
from wsgi_app.auth.development import DevelopmentMode
from wsgi_app.auth.site_login import Authenticate, by_site_login
from wsgi_app.config import Settings, setting_name
from wsgi_app.extras import needs
from wsgi_app.tokens import Principal

Authenticator = Callable[[Request], Principal]


def make_authenticator(settings: Settings, authenticate: Authenticate | None) -> Authenticator:
    """Choose how to authenticate: the callable, else tokens, else development mode.

    Raises ConfigError; the result raises RequestError ``unauthorized`` or ``forbidden``.
    """
    if authenticate is not None:
        return by_site_login(authenticate, frozenset(settings.cors_origins))
    lookups: list[Lookup] = []
    if settings.tokens or settings.tokens_file is not None:
        lookups.append(token_lookup(settings.tokens, settings.tokens_file))
    if settings.jwt_jwks or settings.jwt_audience or settings.jwt_issuer:
        with needs("jwt", setting_name("jwt_jwks")):
            from wsgi_app.auth.web_tokens import web_token_lookup  # noqa: PLC0415 - few sites need it

        lookups.append(web_token_lookup(settings))
    return by_bearer(lookups) if lookups else DevelopmentMode(settings.local_hosts)
