"""What differs between versions of gunicorn."""

from __future__ import annotations

from importlib.util import find_spec


def runnable_module() -> str:
    """Name what `python -m` runs as gunicorn: before 20.1 the package itself cannot be run."""
    return "gunicorn" if find_spec("gunicorn.__main__") else "gunicorn.app.wsgiapp"
