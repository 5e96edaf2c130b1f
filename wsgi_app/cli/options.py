"""What the commands' options and arguments have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import click

from wsgi_app.cli.client import HostClient
from wsgi_app.cli.faults import HostError
from wsgi_app.cli.hosts import pick_mount
from wsgi_app.cli.text import one_line

DEFAULT_URL: Final = "http://127.0.0.1:8000"
DEFAULT_TOKEN: Final = "dev"  # noqa: S105 - development mode's, which is public
_SESSION_ID: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}")


def check_url(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    """Refuse what is no host's address."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and not parts.query
    except ValueError:
        fits = False
    if not fits:
        raise click.BadParameter("Expected http://host:port or https://host, and the mount prefix.")
    return url


def check_session_id(
    _ctx: click.Context, _param: click.Parameter, session_id: str | None
) -> str | None:
    """Refuse what is no session id."""
    if session_id is not None and _SESSION_ID.fullmatch(session_id) is None:
        raise click.BadParameter("Expected 1 to 128 of A-Z a-z 0-9 . _ ~ -, and not . or .. alone.")
    return session_id


def check_token(_ctx: click.Context, _param: click.Parameter, token: str) -> str:
    """Refuse what is no token."""
    if not token.isprintable() or " " in token or not token:
        raise click.BadParameter("Expected printable characters without blanks.")
    return token


F = TypeVar("F", bound=Callable[..., object])


prefix_option = click.option(
    "--prefix", help="In `flask agent`: which of the app's hosts, such as /agents."
)


def host_options(command: F) -> F:
    """Give a command the options that name a running host; `client_of` takes them."""
    for option in (
        prefix_option,
        click.option(
            "--token",
            default=DEFAULT_TOKEN,
            envvar="WSGI_AGENT_HOST_TOKEN",
            callback=check_token,
            help="The tenant's token; better in the environment, as WSGI_AGENT_HOST_TOKEN.",
        ),
        click.option(
            "--url",
            envvar="WSGI_AGENT_HOST_URL",
            callback=check_url,
            help=f"Where the host is mounted; {DEFAULT_URL} if there is none, or what"
            " WSGI_AGENT_HOST_URL says.",
        ),
    ):
        command = option(command)
    return command


session_argument = click.argument("session_id", metavar="SESSION", callback=check_session_id)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def client_of(url: str | None, token: str, prefix: str | None) -> HostClient:
    """A client of the host that the options name; in `flask agent`, of the app's own."""
    return HostClient(address_of(url, prefix), token)


def address_of(url: str | None, prefix: str | None) -> str:
    """The host's address: as given, else this machine's, with the prefix in the app."""
    if url is not None:
        return url
    mount = pick_mount(prefix)
    return DEFAULT_URL if mount is None else DEFAULT_URL + mount[0].rstrip("/")


@contextmanager
def reporting_faults() -> Iterator[None]:
    """Tell a host's refusal, or its absence, in one line, and end with status 1."""
    try:
        yield
    except HostError as fault:
        raise click.ClickException(one_line(str(fault), 500)) from None
