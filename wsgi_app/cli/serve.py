"""`wsgi-agent-host serve`: gunicorn, as the host needs it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

import click
from gunicorn.config import Config

from wsgi_app.cli.hosts import default_app
from wsgi_app.cli.starter import GUNICORN_CONFIG
from wsgi_app.compat.gunicorn import runnable_module

#: What gunicorn reads by itself.
OWN_CONFIG: Final = "gunicorn.conf.py"
_NAMES_APP: Final = re.compile(r"^wsgi_app\s*=", re.MULTILINE)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("gunicorn_arguments", nargs=-1, type=click.UNPROCESSED)
def serve(*, gunicorn_arguments: tuple[str, ...]) -> None:
    """Serve an app by gunicorn, in place of this process.

    GUNICORN_ARGUMENTS are gunicorn's own options, and the app, such as `--threads 32 shop:app`;
    without one it is the stand-alone app, or in `flask agent` the app of flask. The configuration
    is this folder's gunicorn.conf.py, else the one that comes with the package.
    """
    command = [sys.executable, "-m", runnable_module(), *_arguments(gunicorn_arguments)]
    sys.stdout.flush()
    # In its place, so that signals reach gunicorn.
    os.execv(sys.executable, command)  # noqa: S606 - the caller's own arguments


def _arguments(given: tuple[str, ...]) -> list[str]:
    """What gunicorn gets: as given, and what is missing of configuration and app."""
    try:
        parsed = Config(prog="wsgi-agent-host serve").parser().parse_args(list(given))
    except SystemExit as end:
        raise click.exceptions.Exit(int(end.code or 0)) from None
    own = Path(parsed.config or OWN_CONFIG)
    configuration = [] if parsed.config or own.exists() else ["--config", str(GUNICORN_CONFIG)]
    names_app = own.is_file() and _NAMES_APP.search(own.read_text(encoding="utf-8"))
    app = [] if parsed.args or names_app else [default_app()]
    return [*configuration, *given, *app]
