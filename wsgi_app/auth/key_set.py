"""A JSON Web Key Set (RFC 7517): the public keys that tokens may be signed with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Union

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PublicKey = Union[RSAPublicKey, EllipticCurvePublicKey, Ed25519PublicKey]

_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
#: RFC 7518, section 3.4.
_CURVE_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
#: RFC 7518, sections 3.3 and 3.5.
_MIN_RSA_BITS: Final = 2048
#: No symmetric one, which would take a public key for its secret, and no ``none`` (RFC 8725, 2.1).
ALGORITHMS: Final = frozenset({*_RSA_ALGORITHMS, *_CURVE_ALGORITHMS.values(), "EdDSA"})


class VerifyKey(NamedTuple):
    """A public key, and the algorithms that fit it."""

    kid: str | None
    key: PublicKey
    algorithms: tuple[str, ...]


class KeySet:
    """Keys by id; never changed, so any thread may use it."""

    def __init__(self, keys: Sequence[VerifyKey]) -> None:
        self._keys = tuple(keys)

    def find(self, kid: str | None, algorithm: str) -> VerifyKey | None:
        """The key of this id for this algorithm; without an id the only one there is for it."""
        found = [key for key in self._keys if algorithm in key.algorithms]
        if kid is not None:
            return next((key for key in found if key.kid == kid), None)
        return found[0] if len(found) == 1 else None


def parse_key_set(text: str | bytes) -> KeySet:
    """Read a key set; keys that are of no use here are left out (RFC 7517, section 5).

    Raises ValueError, without any of the text, if none is left.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON Web Key Set") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    each = listed if isinstance(listed, list) else []
    keys = [key for one in each if (key := _parse_key(one)) is not None]
    if not keys:
        raise ValueError("expected a public RSA, EC or Ed25519 key for signatures, found none")
    return KeySet(keys)


def _parse_key(described: Any) -> VerifyKey | None:
    if not isinstance(described, dict) or not _is_for_signatures(described):
        return None
    try:
        key = jwt.PyJWK(described).key
    except (jwt.PyJWTError, TypeError, ValueError):
        return None
    algorithms = _algorithms_of(key)
    named = described.get("alg")
    if named is not None:
        algorithms = (named,) if named in algorithms else ()
    kid = described.get("kid")
    return VerifyKey(kid if isinstance(kid, str) else None, key, algorithms) if algorithms else None


def _is_for_signatures(described: dict[str, Any]) -> bool:
    """Section 4.2 and 4.3; a private key in the set is a mistake, and has no place here."""
    operations = described.get("key_ops", ["verify"])
    may_verify = isinstance(operations, list) and "verify" in operations
    return described.get("use", "sig") == "sig" and may_verify and "d" not in described


def _algorithms_of(key: object) -> tuple[str, ...]:
    if isinstance(key, RSAPublicKey):
        return _RSA_ALGORITHMS if key.key_size >= _MIN_RSA_BITS else ()
    if isinstance(key, EllipticCurvePublicKey):
        named = _CURVE_ALGORITHMS.get(key.curve.name)
        return () if named is None else (named,)
    return ("EdDSA",) if isinstance(key, Ed25519PublicKey) else ()
