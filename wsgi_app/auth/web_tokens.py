"""JSON Web Tokens (RFC 7519) that an identity provider has signed."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from wsgi_app.auth.bearer import Lookup
from wsgi_app.auth.key_set import ALGORITHMS, VerifyKey, parse_key_set
from wsgi_app.auth.refusals import unauthorized
from wsgi_app.auth.reloaded_file import ReloadedFile
from wsgi_app.auth.remote_keys import RemoteKeys
from wsgi_app.config import Settings, setting_name
from wsgi_app.errors import ConfigError
from wsgi_app.tokens import DEFAULT_SCOPES, SCOPES, Principal

log = logging.getLogger("wsgi_app")

#: Longer ones are not even decoded; gunicorn takes headers of 8190 bytes.
MAX_TOKEN_CHARS: Final = 16_384
MAX_TENANT_CHARS: Final = 255
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")

#: Finds the key of an id for an algorithm; None if there is none.
FindKey = Callable[["str | None", str], "VerifyKey | None"]


def web_token_lookup(settings: Settings) -> Lookup:
    """Look JSON Web Tokens up by the settings' keys; raises ConfigError."""
    needed = ("jwt_jwks", "jwt_audience", "jwt_issuer")
    missing = [setting_name(name) for name in needed if not getattr(settings, name)]
    if missing or settings.jwt_jwks is None:
        # Without audience and issuer a token made for another service would be good here (RFC 8725,
        # sections 3.8 and 3.9).
        raise ConfigError(f"{', '.join(missing)} missing: JSON Web Tokens need all three")
    return _WebTokens(settings, _find_key(settings.jwt_jwks)).look_up


def _find_key(path: str) -> FindKey:
    setting = setting_name("jwt_jwks")
    if "://" in path:
        _check_url(path, setting)
        return RemoteKeys(path, setting).find
    file = ReloadedFile(Path(path), parse_key_set, setting)
    return lambda kid, algorithm: file.content().find(kid, algorithm)


def _check_url(url: str, setting: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ConfigError(f"{setting} is malformed: expected a file, an https:// or an http:// URL")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_NAMES:
        log.warning("%s is no https:// URL: anybody in between can sign any token", setting)


class _WebTokens:
    """Checks tokens against keys; used by any thread, never changed."""

    def __init__(self, settings: Settings, find_key: FindKey) -> None:
        self._find_key = find_key
        self._audience = list(settings.jwt_audience)
        self._issuer = settings.jwt_issuer
        self._leeway_seconds = settings.jwt_leeway_seconds
        self._tenant_claim = settings.jwt_tenant_claim
        self._scope_claim = settings.jwt_scope_claim

    def look_up(self, token: str) -> Principal | None:
        """Whom a token names, None if it is not good; raises RequestError if it has expired."""
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            return None
        try:
            return self._principal(self._claims(token))
        except jwt.ExpiredSignatureError:
            raise unauthorized("The token has expired; get another one.") from None
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, RecursionError) as error:
            # The library's own conversions raise the last four for odd values in claims. Of the
            # error only its name: its text may hold what the client sent.
            log.info("a JSON Web Token was refused: %s", type(error).__name__)
            return None

    def _claims(self, token: str) -> dict[str, Any]:
        header = _header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        found = self._find_key(header.get("kid"), algorithm)
        if found is None:
            raise jwt.InvalidKeyError
        claims: dict[str, Any] = jwt.decode(
            token,
            found.key,
            # The key's, never the token's.
            algorithms=list(found.algorithms),
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway_seconds,
            options={"require": ["exp", "aud", "iss"]},
        )
        if claims["iss"] != self._issuer:
            raise jwt.InvalidIssuerError  # 2.10.0 takes a part of it
        return claims

    def _principal(self, claims: dict[str, Any]) -> Principal:
        tenant = claims.get(self._tenant_claim)
        if not isinstance(tenant, str) or not 0 < len(tenant) <= MAX_TENANT_CHARS:
            raise jwt.MissingRequiredClaimError(self._tenant_claim)
        if not tenant.isprintable():
            raise jwt.InvalidTokenError
        return Principal(tenant, self._scopes(claims))

    def _scopes(self, claims: dict[str, Any]) -> frozenset[str]:
        """The scopes in the claim: text with blanks (RFC 8693, section 4.2), or a list."""
        if self._scope_claim is None:
            return DEFAULT_SCOPES
        claimed = claims.get(self._scope_claim, "")
        names = claimed.split() if isinstance(claimed, str) else claimed
        if not isinstance(names, list):
            raise jwt.InvalidTokenError
        return frozenset(name for name in names if isinstance(name, str)) & SCOPES


def _header(token: str) -> dict[str, Any]:
    """What a token reports about itself, of which nothing may change its meaning unheeded.

    Before 2.12 the library overlooks ``crit`` (RFC 7515, section 4.1.11).
    """
    first = token.partition(".")[0]
    header = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        raise jwt.InvalidTokenError
    if not isinstance(header.get("kid", ""), str):
        raise jwt.InvalidTokenError
    return header
