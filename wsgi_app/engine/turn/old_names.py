"""Names of a turn's attributes before 0.2, for one minor version; docs/policy.md lists them."""

from __future__ import annotations

import warnings
from typing import Any


class OldTurnNames:
    """Warns of each use."""

    plain_history: Any
    ephemeral: bool

    @property
    def said(self) -> list[dict[str, Any]]:
        """`plain_history` before 0.2."""
        warnings.warn("turn.said is turn.plain_history now", DeprecationWarning, stacklevel=2)
        history: list[dict[str, Any]] = self.plain_history
        return history

    @property
    def passing(self) -> bool:
        """`ephemeral` before 0.2."""
        warnings.warn("turn.passing is turn.ephemeral now", DeprecationWarning, stacklevel=2)
        return self.ephemeral
