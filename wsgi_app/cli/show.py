"""`wsgi-agent-host show`: one session."""

from __future__ import annotations

import json

import click

from wsgi_app.cli.interrupts import interruptible
from wsgi_app.cli.options import (
    client_of,
    host_options,
    json_option,
    reporting_faults,
    session_argument,
)
from wsgi_app.cli.text import harmless, one_line


@click.command()
@session_argument
@host_options
@json_option
def show(
    *, session_id: str, url: str | None, token: str, prefix: str | None, as_json: bool
) -> None:
    """Show a session: its state, and all that was said."""
    client = client_of(url, token, prefix)
    with reporting_faults(), interruptible():
        found = client.describe(session_id)
    if as_json:
        click.echo(json.dumps(found))
        return
    for field in ("session_id", "state", "turn_id", "owner", "created_at", "updated_at"):
        click.echo(f"{field}: {one_line(found.get(field, ''))}")
    messages = found.get("messages")
    for message in messages if isinstance(messages, list) else []:
        click.echo(f"\n{one_line(message.get('role'))}:\n{harmless(str(message.get('content')))}")
