"""Threads and assistants, as clients ask for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

from msgspec import Meta, Struct

Amount = Annotated[int, Meta(ge=0, le=1000)]


class AssistantBody(Struct):
    """The body of ``POST /assistants``."""

    graph_id: str
    assistant_id: Optional[str] = None


class SearchBody(Struct):
    """The body of ``POST /assistants/search``, and of that for threads."""

    limit: Amount = 10
    offset: Annotated[int, Meta(ge=0, le=100_000)] = 0
    metadata: Optional[dict[str, Any]] = None
    status: Optional[Literal["idle", "busy", "interrupted", "error"]] = None
    ids: Optional[list[str]] = None
    sort_by: Optional[str] = None
    sort_order: Optional[str] = None


class ThreadBody(Struct):
    """The body of ``POST /threads``."""

    thread_id: Optional[str] = None
    metadata: Optional[dict[str, Any]] = None
    if_exists: Optional[Literal["raise", "do_nothing"]] = None


class CheckpointBody(Struct):
    """The body of ``POST …/state/checkpoint``."""

    checkpoint: dict[str, Any]

    @property
    def checkpoint_id(self) -> str:
        """Which state is asked for; '' for the newest."""
        return str(self.checkpoint.get("checkpoint_id") or "")
