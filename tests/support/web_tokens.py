"""An identity provider: its keys, the set that it publishes, and the tokens that it signs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE: Final = "https://agents.example"
ISSUER: Final = "https://login.example/"
CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def make_key(algorithm: str, name: str = "") -> Any:
    """A private key for an algorithm, the same for the same name."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    bits = 1024 if name == "weak" else 2048
    return rsa.generate_private_key(65_537, bits)


def public_jwk(algorithm: str, name: str = "", **more: Any) -> dict[str, Any]:
    """The public half of such a key as a JSON Web Key."""
    key = make_key(algorithm, name).public_key()
    kind: Any = {"E": ECAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}[algorithm[0]]
    if algorithm == "EdDSA":
        kind = OKPAlgorithm
    return {**kind.to_jwk(key, as_dict=True), "kid": f"{algorithm}{name}", **more}


def key_set(*keys: dict[str, Any]) -> str:
    """The document that holds these."""
    return json.dumps({"keys": list(keys)})


def claims(**changed: Any) -> dict[str, Any]:
    """What a good token says; a claim changed to ``...`` is left out."""
    now = int(time.time())
    good = {"sub": "acme", "aud": AUDIENCE, "iss": ISSUER, "iat": now, "exp": now + 300, **changed}
    return {name: value for name, value in good.items() if value is not ...}


def signed(
    algorithm: str = "RS256", name: str = "", header: dict[str, Any] | None = None, **changed: Any
) -> str:
    """A token of the provider."""
    headers = {"kid": f"{algorithm}{name}", **(header or {})}
    headers = {field: value for field, value in headers.items() if value is not ...}
    return jwt.encode(claims(**changed), make_key(algorithm, name), algorithm, headers)


class KeyServer:
    """Publishes a key set over HTTP, or fails in a way that a test chooses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.status = 200
        #: Cleared, answers wait for it; a byte now and then keeps their connections alive.
        self.answering = Event()
        self.answering.set()
        self.fetches = 0
        self.url = ""


@contextmanager
def key_server(text: str) -> Iterator[KeyServer]:
    """Run a provider's web server."""
    state = KeyServer(text)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the set."""
            state.fetches += 1
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(state.text)))
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            try:
                while not state.answering.wait(0.2):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                self.wfile.write(state.text.encode())
            except OSError:
                self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}/keys"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            state.answering.set()
            server.shutdown()
