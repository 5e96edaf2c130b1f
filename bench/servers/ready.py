"""What gunicorn's workers write when they are up."""

from __future__ import annotations

from typing import Final

READY: Final = "Worker is ready"
