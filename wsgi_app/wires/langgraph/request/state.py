"""Which of a thread's states a client asks for."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from msgspec import Meta, Struct


class HistoryBody(Struct):
    """The body of ``POST …/history``."""

    limit: Annotated[int, Meta(ge=0)] = 10
    before: Any = None
    checkpoint: Optional[dict[str, Any]] = None
    metadata: Optional[dict[str, Any]] = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it asks for states of a subgraph, or for older ones: there are none."""
        namespace = (self.checkpoint or {}).get("checkpoint_ns")
        return self.limit == 0 or bool(self.before) or bool(namespace)
