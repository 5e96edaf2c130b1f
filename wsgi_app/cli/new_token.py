"""`wsgi-agent-host token`: a new token for a tenant."""

from __future__ import annotations

import re
from typing import get_args

import click

from wsgi_app.tokens import DEFAULT_SCOPES, Scope, hash_token, make_token

_TENANT = re.compile(r"[^\s=,#][^\s=,]*")


@click.command()
@click.argument("tenant")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(get_args(Scope)),
    multiple=True,
    help="What it may do; several times for several. Without: all but admin.",
)
def token(*, tenant: str, scopes: tuple[str, ...]) -> None:
    """Make a token that speaks for TENANT.

    stdout gets its line for AGENT_TOKENS_FILE, which holds only its hash; stderr the token itself,
    once: `wsgi-agent-host token acme >> tokens`.
    """
    if _TENANT.fullmatch(tenant) is None:
        raise click.BadParameter("Expected a name without blanks, commas and equal signs.")
    made = make_token()
    chosen = "+".join(scope for scope in get_args(Scope) if scope in scopes)
    suffix = f" scopes={chosen}" if scopes and set(scopes) != DEFAULT_SCOPES else ""
    click.echo(f"The token, which nothing keeps: {made}", err=True)
    click.echo(f"{hash_token(made)}={tenant}{suffix}")
