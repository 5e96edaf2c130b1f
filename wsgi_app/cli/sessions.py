"""`wsgi-agent-host sessions`: the tenant's sessions."""

from __future__ import annotations

import json

import click

from wsgi_app.cli.interrupts import interruptible
from wsgi_app.cli.options import client_of, host_options, json_option, reporting_faults
from wsgi_app.cli.table import print_table

MAX_PAGE = 200


@click.command()
@host_options
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@json_option
def sessions(*, url: str | None, token: str, prefix: str | None, limit: int, as_json: bool) -> None:
    """List the tenant's sessions, newest first."""
    client = client_of(url, token, prefix)
    with reporting_faults(), interruptible():
        found = client.sessions(limit, MAX_PAGE)
    if as_json:
        for session in found:
            click.echo(json.dumps(session))
        return
    columns = ("session_id", "state", "turn_id", "updated_at")
    print_table(columns, [[session.get(column) for column in columns] for session in found])
