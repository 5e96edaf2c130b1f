"""The app that `flask agent serve` and `flask agent doctor` hand to gunicorn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask.cli import ScriptInfo

if TYPE_CHECKING:
    from flask import Flask


def load() -> Flask:
    """Load the app that FLASK_APP names, or that is in this folder, as `flask` does."""
    return ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app()
