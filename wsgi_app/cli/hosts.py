"""Where a command runs: by itself, or as `flask agent …` inside an app."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from flask import Flask
    from flask.cli import ScriptInfo

    from wsgi_app.web.mount import Mount

STAND_ALONE_APP: Final = "wsgi_app:app"
#: What gunicorn serves for the app that `flask` names: see `wsgi_app/cli/served.py`.
FLASK_APP: Final = "wsgi_app.cli.served:load()"


def flask_app() -> Flask | None:
    """The app of `flask agent …`; None for a command of its own."""
    info = _script_info()
    return None if info is None else info.load_app()


def default_app() -> str:
    """What gunicorn serves if nothing is named; child processes learn the app of `flask --app`."""
    info = _script_info()
    if info is None:
        return STAND_ALONE_APP
    if info.app_import_path:
        os.environ["FLASK_APP"] = info.app_import_path
    return FLASK_APP


def pick_mount(prefix: str | None) -> tuple[str, Mount] | None:
    """The app's only host, or the one with this prefix; None outside of `flask agent`."""
    app = flask_app()
    if app is None:
        if prefix is not None:
            raise click.UsageError("--prefix is for `flask agent`; elsewhere --url has it.")
        return None
    mounts = mounts_of(app)
    if prefix is None and len(mounts) == 1:
        return next(iter(mounts.items()))
    wanted = None if prefix is None else "/" + prefix.strip("/")
    if wanted in mounts:
        return wanted, mounts[wanted]
    known = ", ".join(sorted(mounts)) or "none"
    raise click.UsageError(f"Say by --prefix which of the app's hosts is meant: {known}.")


def mounts_of(app: Flask) -> dict[str, Mount]:
    """The app's hosts, by their prefixes."""
    named: dict[str, Mount] = app.extensions.get("wsgi_app", {})
    return {
        name.removeprefix("wsgi_app").replace("%2E", ".") or "/": mount
        for name, mount in named.items()
    }


def _script_info() -> ScriptInfo | None:
    if "flask.cli" not in sys.modules:
        return None  # a client of its own, which does not load Flask for this
    from flask.cli import ScriptInfo  # noqa: PLC0415 - it is loaded

    context: Any = click.get_current_context()
    found: ScriptInfo | None = context.find_object(ScriptInfo)
    return found
