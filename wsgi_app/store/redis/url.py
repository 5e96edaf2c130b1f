"""What ``AGENT_REDIS_URL`` says, for redis-py. All raise ValueError for what is no URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from redis import connection

from wsgi_app.compat.redis import protocol_options

#: What a URL may say in its query, besides ``ssl_…``. Others would change what the store relies on:
#: that replies are bytes, say.
OPTIONS: Final = {
    *("db", "username", "password", "protocol", "client_name", "max_connections"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"),
    "retry_on_timeout",
}
PROTOCOLS: Final = ("2", "3")
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


class BadOptionError(ValueError):
    """An option of a URL that cannot be kept; the text holds no value that may be a secret."""


class Hosts(NamedTuple):
    """What the URL of several hosts says."""

    hosts: list[tuple[str, int]]
    path: str
    options: dict[str, Any]
    db: int


def server_options(url: str) -> dict[str, Any]:
    """Read the URL of one server: the arguments of a connection pool."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    _check_query(parts.scheme, query)
    read_url: Any = connection.parse_url  # redis-py has no types for it
    options: dict[str, Any] = read_url(url)
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("no socket")
    else:
        int(parts.path.strip("/") or 0)  # the database; redis-py ignores a bad one
    # What the scripts return is the same in both protocols.
    options |= _protocol(options.pop("protocol", "2"))
    if parts.scheme == "rediss":
        # redis-py before 6.0 does not look at a certificate's name by default.
        options.setdefault("ssl_check_hostname", query.get("ssl_cert_reqs") != "none")
    return options


def _check_query(scheme: str, query: dict[str, str]) -> None:
    for name in query:
        if name not in OPTIONS and not (scheme == "rediss" and name.startswith("ssl_")):
            raise BadOptionError(f"the option {name!r} is not known for {scheme}://")
    for name in _FILES:
        if name in query and not Path(query[name]).is_file():
            raise BadOptionError(f"the file of {name} is not there")


def _protocol(wanted: int | str) -> dict[str, Any]:
    if str(wanted) not in PROTOCOLS:
        raise BadOptionError("protocol is 2 or 3")
    try:
        return protocol_options(int(wanted))
    except ValueError as error:
        raise BadOptionError(str(error)) from None


def parse_hosts(url: str, default_port: int) -> Hosts:
    """Read the URL of several servers."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    found = []
    for host in hosts.split(","):
        endpoint = urlsplit(f"//{host}")
        if not endpoint.hostname:
            raise ValueError("no host")
        found.append((endpoint.hostname, endpoint.port or default_port))
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    db = int(query.pop("db", ["0"])[0])
    if query or db < 0:
        raise ValueError("unknown option")
    options = {"username": unquote(username) or None, "password": unquote(password) or None}
    return Hosts(found, unquote(parts.path.strip("/")), options, db)
