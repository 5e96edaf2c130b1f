"""`wsgi-agent-host delete`: forget a session."""

from __future__ import annotations

import click

from wsgi_app.cli.interrupts import interruptible
from wsgi_app.cli.options import client_of, host_options, reporting_faults, session_argument


@click.command()
@session_argument
@host_options
def delete(*, session_id: str, url: str | None, token: str, prefix: str | None) -> None:
    """End what runs in a session, and forget the session."""
    client = client_of(url, token, prefix)
    with reporting_faults(), interruptible():
        deleted = client.delete(session_id)
    click.echo("deleted" if deleted else "there is no such session")
