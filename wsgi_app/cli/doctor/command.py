"""The command itself."""

from __future__ import annotations

import warnings

import click
import msgspec

from wsgi_app.cli.doctor.examine import examine_connection, examine_set_up
from wsgi_app.cli.doctor.report import Report
from wsgi_app.cli.hosts import default_app
from wsgi_app.cli.options import DEFAULT_TOKEN, check_token, check_url


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("gunicorn_arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--url",
    callback=check_url,
    help="Also measure the connection to a running host, through its proxies: the address that"
    " browsers use, with the mount prefix.",
)
@click.option(
    "--token",
    default=DEFAULT_TOKEN,
    envvar="WSGI_AGENT_HOST_TOKEN",
    callback=check_token,
    help="The tenant's token for --url; better in the environment, as WSGI_AGENT_HOST_TOKEN.",
)
@click.option("--url-only", is_flag=True, help="Look at nothing but the connection to --url.")
@click.option("--way-only", is_flag=True, hidden=True)
@click.option(
    "--thorough", is_flag=True, help="Have a JSON answer take as long as a turn may (minutes)."
)
@click.option("--verbose", is_flag=True, help="Also say what is fine, and what suits this site.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def doctor(  # noqa: PLR0913 - each is a part of the command line
    ctx: click.Context,
    *,
    gunicorn_arguments: tuple[str, ...],
    url: str | None,
    token: str,
    url_only: bool,
    way_only: bool,
    thorough: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Look at a set-up, and say what to change in which file.

    GUNICORN_ARGUMENTS are those that gunicorn is started with, such as `--threads 64 shop:app`; run
    it where gunicorn runs, with the same environment, since it reads gunicorn.conf.py and loads the
    app.

    The exit status is 0 without findings, 1 with some, 2 if something could not be checked.
    """
    if way_only:
        warnings.warn("--way-only is --url-only now", DeprecationWarning, stacklevel=1)
        click.echo("--way-only is deprecated: say --url-only.", err=True)
        url_only = True
    if url_only and url is None:
        raise click.UsageError("--url-only needs --url.")
    report = Report()
    if not url_only:
        examine_set_up(report, default_app(), gunicorn_arguments)
    if url is not None:
        examine_connection(report, url, token, thorough=thorough)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        click.echo(report.text(verbose=verbose))
    ctx.exit(report.status())
