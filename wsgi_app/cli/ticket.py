"""`wsgi-agent-host ticket`: what opens a session's streams without a header."""

from __future__ import annotations

import click

from wsgi_app.cli.interrupts import interruptible
from wsgi_app.cli.options import client_of, host_options, reporting_faults, session_argument


@click.command()
@session_argument
@host_options
def ticket(*, session_id: str, url: str | None, token: str, prefix: str | None) -> None:
    """Print a ticket for ?ticket= on the session's streams; it opens them for a minute."""
    client = client_of(url, token, prefix)
    with reporting_faults(), interruptible():
        click.echo(client.ticket(session_id))
