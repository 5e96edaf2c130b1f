"""`wsgi-agent-host cancel`: end what runs."""

from __future__ import annotations

import click

from wsgi_app.cli.interrupts import interruptible
from wsgi_app.cli.options import client_of, host_options, reporting_faults, session_argument


@click.command()
@session_argument
@host_options
@click.option("--turn", type=click.IntRange(min=1), help="Only this turn.")
def cancel(
    *, session_id: str, url: str | None, token: str, prefix: str | None, turn: int | None
) -> None:
    """Cancel the session's turns, those that wait too, on whichever worker they are."""
    client = client_of(url, token, prefix)
    with reporting_faults(), interruptible():
        cancelled = client.cancel(session_id, turn)
    click.echo("nothing runs" if cancelled is None else f"turn {cancelled} is cancelled")
