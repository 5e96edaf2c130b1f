"""What `init` writes and `serve` falls back on: the project's own files, and a small agent."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
#: The project's own gunicorn.conf.py.
GUNICORN_CONFIG: Final = _FOLDER / "gunicorn.conf.py"
#: By the names that they get.
FILES: Final = {
    "agent.py": _FOLDER / "agent.py.txt",
    "app.py": _FOLDER / "app.py.txt",
    "gunicorn.conf.py": GUNICORN_CONFIG,
    "nginx.conf": _FOLDER / "nginx.conf",
}
