"""What differs between versions of Flask-SQLAlchemy, which is not imported here."""

from __future__ import annotations

from typing import Any


def find_session(extension: Any) -> Any | None:
    """Find the scoped session of ``app.extensions["sqlalchemy"]``; None if it is another's.

    The extension stands there itself in 3.0 and later. In 2.x it is the ``db`` of what does.
    """
    return getattr(getattr(extension, "db", extension), "session", None)
