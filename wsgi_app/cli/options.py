"""What the commands' options and arguments have in common."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import click

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
