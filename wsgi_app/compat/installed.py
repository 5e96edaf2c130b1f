"""Which versions of packages are installed, for what is reported of them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

#: Major and minor.
Version = tuple[int, int]


def installed_version(distribution: str) -> Version | None:
    """Return a package's major and minor version; None if it is not installed."""
    try:
        numbers = re.findall(r"\d+", version(distribution))
    except PackageNotFoundError:
        return None
    return (int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 0)
