"""Tokens: for which tenant each one speaks, and what it may do. Kept as digests alone."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

#: ``chat`` starts turns, answers questions and, with ``cancel``, deletes; ``read`` shows sessions
#: and their events; ``cancel`` ends turns; ``admin`` is for who looks after the service.
Scope = Literal["chat", "read", "cancel", "admin"]
SCOPES: Final[frozenset[str]] = frozenset(get_args(Scope))
DEFAULT_SCOPES: Final = SCOPES - {"admin"}

#: Never the begin of a token that a client sends: a bearer token has no colon (RFC 6750, 2.1).
HASH_PREFIX: Final = "sha256:"
_HASHED: Final = re.compile(rf"{HASH_PREFIX}([0-9a-fA-F]{{64}})")
#: A token has no blank either, and a tenant's name no equal sign: nothing else looks like this.
_SCOPED: Final = re.compile(r"(.*\S)\s+scopes=(\S*)")
_TOKEN_BYTES: Final = 32


class Principal(NamedTuple):
    """Who is asking, and what for."""

    tenant: str
    scopes: frozenset[str] = DEFAULT_SCOPES


def make_token() -> str:
    """A new random token of 43 characters."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What stands for a token in AGENT_TOKENS_FILE: ``sha256:`` and 64 hexadecimal digits.

    Plain SHA-256, as for any random token: one that a person made up could be guessed from it.
    """
    return HASH_PREFIX + digest(token).hex()


def digest(token: str) -> bytes:
    """What a token is known by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def parse_tokens(value: Any) -> dict[bytes, Principal]:
    """Read tokens: who each one is, by its digest.

    Takes a mapping of tokens to tenants or to `Principal`; or text, divided by commas or lines,
    of ``token=tenant`` or ``token=tenant scopes=chat+read``. A token may be what `hash_token`
    made of it. Raises TypeError, and ValueError without any of the text.
    """
    if isinstance(value, Mapping):
        pairs = [(str(token), _as_principal(named)) for token, named in value.items()]
    elif isinstance(value, str):
        pairs = [_parse_token(part) for part in re.split(r"[,\n]", value) if part.strip()]
    else:
        raise TypeError("expected token=tenant,… or a mapping")
    if any(not token or not principal.tenant for token, principal in pairs):
        raise ValueError("expected token=tenant,… with neither part empty")
    return {_digest_of(token): principal for token, principal in pairs}


def parse_tokens_file(text: str) -> dict[bytes, Principal]:
    """Read tokens, one a line; ``#`` begins a comment, at a line's begin and behind a blank."""
    lines = [re.split(r"(?:^|\s)#", line, maxsplit=1)[0] for line in text.splitlines()]
    return parse_tokens("\n".join(lines))


def _parse_token(text: str) -> tuple[str, Principal]:
    scoped = _SCOPED.fullmatch(text.strip())
    pair, scopes = (scoped[1], _parse_scopes(scoped[2])) if scoped else (text, DEFAULT_SCOPES)
    # Base64 tokens end in "=", tenants hold none: the last one divides.
    token, _, tenant = pair.strip().rpartition("=")
    return token.strip(), Principal(tenant.strip(), scopes)


def _parse_scopes(text: str) -> frozenset[str]:
    scopes = frozenset(text.split("+"))
    check_scopes(scopes)
    return scopes


def check_scopes(scopes: frozenset[str]) -> None:
    """Refuse what are not scopes; raises ValueError without their text."""
    if not scopes <= SCOPES:
        raise ValueError(f"expected scopes of {', '.join(get_args(Scope))}")


def _as_principal(named: Any) -> Principal:
    if not isinstance(named, Principal):
        return Principal(str(named))
    scopes = frozenset(named.scopes)
    check_scopes(scopes)
    return Principal(named.tenant, scopes)


def _digest_of(token: str) -> bytes:
    hashed = _HASHED.fullmatch(token)
    if hashed is not None:
        return bytes.fromhex(hashed[1])
    if token.startswith(HASH_PREFIX):
        raise ValueError(f"expected 64 hexadecimal digits behind {HASH_PREFIX}")
    return digest(token)
