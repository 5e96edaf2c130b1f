"""What only some sites need, installed by one of the package's extras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wsgi_app.errors import ConfigError

#: How pip installs the package with an extra.
INSTALL = "pip install 'wsgi-agent-host[{extra}]'"


@contextmanager
def needs(extra: str, user: str) -> Iterator[None]:
    """Import what ``user`` needs in this block; raises ConfigError that names the extra.

    Done at the start, where the feature is asked for, never in the middle of a turn.
    """
    try:
        yield
    except ImportError as missing:
        raise ConfigError(f"{missing_text(extra, user)} ({missing})") from missing


def missing_text(extra: str, user: str) -> str:
    """Say what is missing, for whom, and which command installs it."""
    return f"{user} needs the extra {extra}: {INSTALL.format(extra=extra)}"
