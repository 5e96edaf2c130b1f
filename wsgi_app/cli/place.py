"""Where a command runs: by itself, or as `flask agent …` inside an app."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click
from flask.cli import ScriptInfo

if TYPE_CHECKING:
    from flask import Flask

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


def _script_info() -> ScriptInfo | None:
    context: Any = click.get_current_context()
    found: ScriptInfo | None = context.find_object(ScriptInfo)
    return found
