"""Requests that come straight from this machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from flask import Request

from wsgi_app.errors import RequestError

#: A proxy that adds one of these speaks for somebody else.
FORWARDING_HEADERS: Final = frozenset(
    {
        *("forwarded", "forwarded-for", "via", "cdn-loop", "client-ip", "true-client-ip"),
        *("x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr"),
        *("x-originating-ip", "x-proxyuser-ip", "x-forwarded", "proxy-client-ip"),
        *("wl-proxy-client-ip", "fastly-client-ip", "do-connecting-ip", "x-appengine-user-ip"),
    }
)
#: And of these families: X-Forwarded-For, CF-Connecting-IP, Fly-Client-IP, X-Envoy-….
FORWARDING_PREFIXES: Final = (
    *("x-forwarded-", "x-original-", "x-envoy-", "x-amzn-", "x-amz-cf-", "x-azure-", "x-arr-"),
    *("cf-", "fly-", "x-vercel-", "x-nf-", "x-goog-", "x-railway-", "x-render-", "x-ngrok-"),
)
_LABEL: Final = re.compile(r"[a-z0-9_-]+")
_PORT: Final = re.compile(r":[0-9]*\Z")


def is_local(request: Request, hosts: Collection[str] = ()) -> bool:
    """Whether a program of this machine itself asks, for this machine.

    The address is the loopback one, no proxy has forwarded the request, and it names this machine
    as its host: a page of another origin, whose name its owner has pointed to this machine, names
    its own. ``hosts`` are further names of this machine.
    """
    return _comes_straight(request) and names_this_machine(request.host, hosts)


def check_rebinding(request: Request, hosts: Collection[str] = ()) -> None:
    """Refuse a page whose name its owner has pointed to this machine; raises RequestError.

    Its origin and the host that it asks are the same, so that `check_origin` lets it pass.
    """
    is_page = "Origin" in request.headers
    if is_page and _comes_straight(request) and not names_this_machine(request.host, hosts):
        raise RequestError("forbidden", "This is not the name of this machine.")


def _comes_straight(request: Request) -> bool:
    """Whether a program of this machine has sent it, and nobody has passed it on."""
    if _comes_from_bare_nginx(request):
        return False
    names = [name.lower() for name, _ in request.headers]
    if any(n in FORWARDING_HEADERS or n.startswith(FORWARDING_PREFIXES) for n in names):
        return False
    return _is_loopback(request.remote_addr or "")


def _comes_from_bare_nginx(request: Request) -> bool:
    """Whether it looks as nginx's with nothing but ``proxy_pass``; no client of today's does."""
    is_old = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
    return is_old and request.headers.get("Connection", "").lower() == "close"


def names_this_machine(host: str, hosts: Collection[str] = ()) -> bool:
    """Whether a Host header is none of a stranger's: nobody owns a name without a dot."""
    name = _PORT.sub("", host).lower().rstrip(".")
    if name in hosts or name.endswith(".localhost") or _LABEL.fullmatch(name):
        return True
    return _is_loopback(name.removeprefix("[").removesuffix("]"))


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
