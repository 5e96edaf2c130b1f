"""JSON Web Tokens: which are good, and every way in which one is not."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask, request

from tests.support.web_tokens import (
    AUDIENCE,
    ISSUER,
    claims,
    key_set,
    make_key,
    public_jwk,
    signed,
)
from wsgi_app.auth import Authenticator, Principal, hash_token, make_authenticator
from wsgi_app.config import load_settings
from wsgi_app.errors import ConfigError, RequestError

ALGORITHMS = ("RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA")
KEYS = key_set(*(public_jwk(algorithm) for algorithm in ALGORITHMS))


def host(keys: str, folder: Path, **settings: Any) -> Authenticator:
    """What authenticates with these keys in a file."""
    file = folder / "keys.json"
    file.write_text(keys)
    given = {
        "jwt_jwks": str(file),
        "jwt_audience": AUDIENCE,
        "jwt_issuer": ISSUER,
        "tokens": f"plain=opaque,{hash_token('a.b.c')}=dotted",
        **settings,
    }
    return make_authenticator(load_settings(given, {}, {}), None)


def who_is(authenticate: Authenticator, token: str) -> Principal | str:
    """Whom a bearer of this token is taken for, or why it is refused."""
    with Flask("x").test_request_context(headers={"Authorization": f"Bearer {token}"}):
        try:
            return authenticate(request)
        except RequestError as error:
            return f"{error.code}: {error.message}"


NO_TIMES: list[Any] = [..., None, "soon", [], {}, 1e400, "1e9"]
REFUSED = "unauthorized: Send a valid token as Authorization: Bearer <token>."
EXPIRED = "unauthorized: The token has expired; get another one."


@pytest.fixture
def authenticate(tmp_path: Path) -> Authenticator:
    """A host that knows a key for each algorithm."""
    return host(KEYS, tmp_path)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_names_its_tenant(authenticate: Authenticator, algorithm: str) -> None:
    """Signed by a known key with an algorithm that fits it, for this audience, by this issuer."""
    assert who_is(authenticate, signed(algorithm)) == Principal("acme")


def test_other_tokens_work_beside(authenticate: Authenticator) -> None:
    """AGENT_TOKENS go on to count, also one that looks like a JSON Web Token."""
    assert who_is(authenticate, "plain") == Principal("opaque")
    assert who_is(authenticate, "a.b.c") == Principal("dotted")
    assert who_is(authenticate, "x.y.z") == REFUSED


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"exp": lambda now: now - 40}, EXPIRED),
        ({"exp": lambda now: now - 15}, Principal("acme")),
        ({"nbf": lambda now: now + 40}, REFUSED),
        ({"nbf": lambda now: now + 15}, Principal("acme")),
        ({"iat": lambda now: now + 40}, REFUSED),
        ({"iat": lambda now: now + 15}, Principal("acme")),
        ({"iat": ...}, Principal("acme")),
        ({"aud": ["https://other.example", AUDIENCE]}, Principal("acme")),
        ({"scope": "openid"}, Principal("acme")),
        ({"sub": "ACME Corp, Berlin/ü"}, Principal("ACME Corp, Berlin/ü")),
        *(({"exp": value}, REFUSED) for value in NO_TIMES),
        *(({"nbf": value}, REFUSED) for value in NO_TIMES[2:]),
        *(
            ({"aud": value}, REFUSED)
            for value in (..., None, "", [], AUDIENCE + "/", AUDIENCE.upper(), [5], {AUDIENCE: 1})
        ),
        *(({"iss": value}, REFUSED) for value in (..., "", ISSUER[:-1], ISSUER + "x", "login")),
        *(
            ({"sub": value}, REFUSED)
            for value in (
                ...,
                None,
                "",
                5,
                ["acme"],
                "a\nb",
                "a\x00",
                "\ud800",
                "\u202eacme",
                256 * "x",
            )
        ),
    ],
)
def test_claims_decide(
    authenticate: Authenticator, changed: Mapping[str, Any], expected: Principal | str
) -> None:
    """Time, within the leeway; audience; issuer; and a tenant that can be one."""
    now = int(time.time())
    told = {name: value(now) if callable(value) else value for name, value in changed.items()}
    assert who_is(authenticate, signed(**told)) == expected


def test_an_issuer_that_is_no_text_is_refused(authenticate: Authenticator) -> None:
    """A list that holds the right issuer is none."""
    assert who_is(authenticate, resigned("ES256", {**claims(), "iss": [ISSUER]})) == REFUSED


def b64(data: bytes) -> str:
    """Base64 as tokens use it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def joined(header: Any, payload: Any, signature: bytes) -> str:
    """A token in three parts, whatever they are."""
    return ".".join(
        [b64(json.dumps(header).encode()), b64(json.dumps(payload).encode()), b64(signature)]
    )


def resigned(algorithm: str, payload: Any) -> str:
    """A payload that the library would not sign, signed by the provider's key."""
    parts = signed(algorithm).split(".")[0] + "." + b64(json.dumps(payload).encode())
    r, s = decode_dss_signature(make_key(algorithm).sign(parts.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{parts}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def as_hmac(secret: bytes, kid: str) -> str:
    """A token whose secret is something public."""
    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    unsigned = joined(header, claims(), b"").rstrip(".")
    return f"{unsigned}.{b64(hmac.digest(secret, unsigned.encode(), 'sha256'))}"


def pem(form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    """The provider's public RSA key as text."""
    found: bytes = make_key("RS256").public_key().public_bytes(Encoding.PEM, form)
    return found


STRANGER = public_jwk("RS256", "stranger")
FORGED: dict[str, Callable[[], str]] = {
    "none": lambda: joined({"alg": "none"}, claims(), b""),
    "none with a key": lambda: joined({"alg": "none", "kid": "RS256"}, claims(), b""),
    "None": lambda: joined({"alg": "None", "kid": "RS256"}, claims(), b""),
    "nOnE": lambda: joined({"alg": "nOnE", "kid": "RS256"}, claims(), b"x"),
    "no algorithm": lambda: joined({"kid": "RS256"}, claims(), b"x"),
    "an algorithm that is a list": lambda: joined(
        {"alg": ["RS256"], "kid": "RS256"}, claims(), b"x"
    ),
    "HS256 by the public key": lambda: as_hmac(pem(), "RS256"),
    "HS256 by the PKCS1 key": lambda: as_hmac(pem(PublicFormat.PKCS1), "RS256"),
    "HS256 by the bare PEM": lambda: as_hmac(pem().strip(), "RS256"),
    "HS256 by the key set": lambda: as_hmac(KEYS.encode(), "RS256"),
    "HS256 by the modulus": lambda: as_hmac(public_jwk("RS256")["n"].encode(), "RS256"),
    "HS256 by the kid": lambda: as_hmac(b"RS256", "RS256"),
    "HS256 by nothing": lambda: as_hmac(b"", "RS256"),
    "a stranger's key": lambda: signed(name="stranger"),
    "a stranger's key under a known kid": lambda: signed(name="stranger", header={"kid": "RS256"}),
    "a key in the header": lambda: signed(
        name="stranger", header={"kid": "RS256", "jwk": STRANGER}
    ),
    "a key in the header alone": lambda: signed(
        name="stranger", header={"kid": ..., "jwk": STRANGER}
    ),
    "a URL in the header": lambda: signed(name="stranger", header={"jku": "http://127.0.0.1:1/k"}),
    "a certificate in the header": lambda: signed(name="stranger", header={"x5u": "file:///k"}),
    "another algorithm's key": lambda: signed("ES256", header={"kid": "RS256"}),
    "another curve's key": lambda: signed("ES384", header={"kid": "ES256"}),
    "no kid among many keys": lambda: signed("RS256", header={"kid": ...}),
    "an empty kid": lambda: signed(header={"kid": ""}),
    "a path for a kid": lambda: signed(header={"kid": "../../../../dev/null"}),
    "a kid in another case": lambda: signed(header={"kid": "rs256"}),
    "a kid that is a number": lambda: joined({"alg": "RS256", "kid": 1}, claims(), b"x"),
    "a kid that is a list": lambda: joined({"alg": "RS256", "kid": ["RS256"]}, claims(), b"x"),
    "an extension that nobody knows": lambda: signed(header={"crit": ["exp"], "exp": 1}),
    "zeros for a signature": lambda: joined({"alg": "ES256", "kid": "ES256"}, claims(), bytes(64)),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "two parts": lambda: signed().rpartition(".")[0],
    "four parts": lambda: signed() + ".x",
    "five parts, as if encrypted": lambda: ".".join([*signed().split("."), "x", "y"]),
    "another payload": lambda: ".".join(
        [
            signed().split(".")[0],
            b64(json.dumps(claims(sub="other")).encode()),
            signed().split(".")[2],
        ]
    ),
    "another header": lambda: ".".join(
        [b64(b'{"alg":"RS256","kid":"RS256"}'), *signed().split(".")[1:]]
    ),
    "a detached payload": lambda: joined({"alg": "RS256", "kid": "RS256", "b64": False}, "", b"x"),
    "a payload that is a list": lambda: resigned("ES256", [claims()]),
    "a payload that is text": lambda: resigned("ES256", "acme"),
    "a header that is a list": lambda: joined([], claims(), b"x"),
    "a header that is deep": lambda: f"{b64(b'[' * 6000)}.e30.eA",
    "a header that is no text": lambda: f"{b64(b'{' + bytes(range(128, 256)))}.e30.eA",
    "nothing but dots": lambda: "..",
    "a huge token": lambda: signed(filler="x" * 20_000),
    "half a megabyte": lambda: joined({"alg": "RS256", "kid": "RS256"}, claims(), bytes(500_000)),
    "not ASCII": lambda: signed().replace(".", "\uff0e"),
    "a token in quotes": lambda: f'"{signed()}"',
    "two tokens": lambda: f"{signed()} {signed()}",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(authenticate: Authenticator, name: str) -> None:
    """Neither the algorithm nor the key is the token's to choose, and nothing odd is an error."""
    assert who_is(authenticate, FORGED[name]()) == REFUSED


def test_a_key_without_id_may_be_the_only_one(tmp_path: Path) -> None:
    """Small providers publish one key without a name."""
    alone = public_jwk("ES256")
    del alone["kid"]
    authenticate = host(key_set(alone, public_jwk("RS256")), tmp_path)
    assert who_is(authenticate, signed("ES256", header={"kid": ...})) == Principal("acme")
    assert who_is(authenticate, signed("ES256")) == REFUSED


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (public_jwk("RS256", alg="RS256"), "RS512"),
        (public_jwk("RS256", alg="PS256"), "RS256"),
        (public_jwk("RS256", use="enc"), "RS256"),
        (public_jwk("RS256", key_ops=["encrypt"]), "RS256"),
        (public_jwk("RS256", "weak"), "RS256"),
        ({"kty": "oct", "k": b64(b"x" * 32), "kid": "HS256"}, "HS256"),
    ],
)
def test_a_key_is_good_for_its_purpose_alone(
    tmp_path: Path, key: dict[str, Any], algorithm: str
) -> None:
    """Its own algorithm and use count; weak and symmetric ones are never good."""
    authenticate = host(key_set(key, public_jwk("EdDSA")), tmp_path)
    header = {"kid": key["kid"]}
    if algorithm == "HS256":
        token = as_hmac(b"x" * 32, "HS256")
    else:
        name = "weak" if key["kid"].endswith("weak") else ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions of the library warn of such a key
            token = jwt.encode(claims(), make_key("RS256", name), algorithm, header)
    assert who_is(authenticate, token) == REFUSED
    assert who_is(authenticate, signed("EdDSA")) == Principal("acme")


@pytest.mark.parametrize(
    ("setting", "told", "scopes"),
    [
        ("scope", {"scope": "openid chat read admin"}, {"chat", "read", "admin"}),
        ("scope", {"scope": "openid"}, set()),
        ("scope", {"scope": ""}, set()),
        ("scope", {}, set()),
        ("scp", {"scp": ["read", 5, None, "chat "]}, {"read"}),
        ("scope", {"scope": "chat,read"}, set()),
    ],
)
def test_scopes_may_come_from_a_claim(
    tmp_path: Path, setting: str, told: dict[str, Any], scopes: set[str]
) -> None:
    """AGENT_JWT_SCOPE_CLAIM makes the claim decide, and nothing else."""
    authenticate = host(KEYS, tmp_path, jwt_scope_claim=setting)
    assert who_is(authenticate, signed(**told)) == Principal("acme", frozenset(scopes))


def test_a_scope_claim_of_another_type_is_refused(tmp_path: Path) -> None:
    """Neither a number nor an object holds scopes."""
    authenticate = host(KEYS, tmp_path, jwt_scope_claim="scope")
    for told in (5, {"chat": True}, None):
        assert who_is(authenticate, signed(scope=told)) == REFUSED


def test_settings_choose_the_claim_and_the_leeway(tmp_path: Path) -> None:
    """The tenant may be another claim, the audience one of several, the clock exact."""
    authenticate = host(
        KEYS,
        tmp_path,
        jwt_tenant_claim="https://login.example/org",
        jwt_leeway_seconds=0,
        jwt_audience="web, mobile",
    )
    told: dict[str, Any] = {"https://login.example/org": "org-1", "aud": "mobile"}
    assert who_is(authenticate, signed(**told)) == Principal("org-1")
    assert who_is(authenticate, signed(aud="mobile")) == REFUSED
    assert who_is(authenticate, signed(**told, exp=int(time.time()) - 1)) == EXPIRED


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"jwt_audience": ""}, "AGENT_JWT_AUDIENCE missing"),
        ({"jwt_issuer": ""}, "AGENT_JWT_ISSUER missing"),
        ({"jwt_jwks": ""}, "AGENT_JWT_JWKS missing"),
        ({"jwt_jwks": "ftp://x/y"}, "AGENT_JWT_JWKS is malformed"),
        ({"jwt_jwks": "http://[x/y"}, "AGENT_JWT_JWKS is malformed"),
        ({"jwt_jwks": "https:///y"}, "AGENT_JWT_JWKS is malformed"),
        ({"jwt_jwks": "/nowhere"}, "AGENT_JWT_JWKS cannot be read"),
        ({"jwt_leeway_seconds": -1}, "AGENT_JWT_LEEWAY_SECONDS is malformed"),
    ],
)
def test_half_a_configuration_stops_the_start(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    """Audience, issuer and keys belong together."""
    with pytest.raises(ConfigError, match=told):
        host(KEYS, tmp_path, **settings)


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://login.example/keys", True),
        ("https://login.example/keys", False),
        ("http://localhost/keys", False),
        ("http://[::1]:8000/keys", False),
    ],
)
def test_keys_over_a_plain_connection_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, *, warns: bool
) -> None:
    """Who can change the answer on its way could sign every token."""
    host(KEYS, tmp_path, jwt_jwks=url)
    assert ("is no https:// URL" in caplog.text) == warns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": {"a": 1}}',
        "[" * 100_000,
        key_set({"kty": "oct", "k": "c2VjcmV0"}),
        key_set({"kty": "RSA"}, {"kty": "x"}, {}),
        key_set(public_jwk("RS256", "weak")),
        key_set(public_jwk("RS256", d="c2VjcmV0")),
    ],
)
def test_a_file_without_a_key_stops_the_start(tmp_path: Path, text: str) -> None:
    """What is no key set, or has no key of use, is named without its text."""
    with pytest.raises(ConfigError, match="AGENT_JWT_JWKS is malformed") as caught:
        host(text, tmp_path)
    assert "c2VjcmV0" not in str(caught.value)


def test_a_changed_file_of_keys_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in a file are changed without a restart, too."""
    monkeypatch.setattr("wsgi_app.auth.reloaded_file.LOOK_SECONDS", 0.0)
    authenticate = host(key_set(public_jwk("ES256")), tmp_path)
    assert who_is(authenticate, signed("EdDSA")) == REFUSED
    (tmp_path / "new").write_text(key_set(public_jwk("EdDSA")))
    (tmp_path / "new").replace(tmp_path / "keys.json")
    assert who_is(authenticate, signed("EdDSA")) == Principal("acme")
    assert who_is(authenticate, signed("ES256")) == REFUSED
