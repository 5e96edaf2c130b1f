"""Requests that come straight from this machine."""

from __future__ import annotations

from typing import Final

from flask import Request

#: A proxy that adds one of these, or any X-Forwarded-…, speaks for somebody else.
FORWARDING_HEADERS: Final = (
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
LOOPBACK_ADDRESSES: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def is_local(request: Request) -> bool:
    """Whether the request comes from the loopback address, and no proxy has forwarded it."""
    names = [name.lower() for name, _ in request.headers]
    forwarded = any(n in FORWARDING_HEADERS or n.startswith("x-forwarded-") for n in names)
    return request.remote_addr in LOOPBACK_ADDRESSES and not forwarded
