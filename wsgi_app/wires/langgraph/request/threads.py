"""Threads and assistants, as clients ask for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional

from msgspec import Meta, Struct

Amount = Annotated[int, Meta(ge=0, le=1000)]
Offset = Annotated[int, Meta(ge=0, le=100_000)]
Name = Annotated[str, Meta(max_length=256)]
_Names = Annotated[list[Name], Meta(max_length=64)]
_Ids = Annotated[list[Name], Meta(max_length=1000)]
SortBy = Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"]


class AssistantBody(Struct):
    """The body of ``POST /assistants``."""

    graph_id: str
    assistant_id: Optional[str] = None
    if_exists: Optional[Literal["raise", "do_nothing"]] = None


class AssistantSearchBody(Struct):
    """The body of ``POST /assistants/search``, and of that to count."""

    limit: Amount = 10
    offset: Offset = 0
    graph_id: Optional[Name] = None
    name: Optional[Name] = None
    metadata: Optional[dict[str, Any]] = None
    select: Optional[_Names] = None


class VersionsBody(Struct):
    """The body of ``POST …/versions``."""

    limit: Amount = 10
    offset: Offset = 0
    metadata: Optional[dict[str, Any]] = None


class SearchBody(Struct):
    """The body of ``POST /threads/search``, and of that to count."""

    limit: Amount = 10
    offset: Offset = 0
    metadata: Optional[dict[str, Any]] = None
    status: Optional[Literal["idle", "busy", "interrupted", "error"]] = None
    ids: Optional[_Ids] = None
    sort_by: Optional[SortBy] = None
    sort_order: Optional[str] = None
    select: Optional[_Names] = None
    values: Any = None
    extract: Any = None

    @property
    def is_ascending(self) -> bool:
        """Whether the least comes first."""
        return (self.sort_order or "").lower() == "asc"

    @property
    def wants_values(self) -> bool:
        """Whether what was said in the threads is asked for."""
        return self.select is None or "values" in self.select

    def unserved(self) -> str | None:
        """A field that asks for what there is none of."""
        return next((name for name in ("values", "extract") if getattr(self, name)), None)


class ThreadBody(Struct):
    """The body of ``POST /threads``."""

    thread_id: Optional[str] = None
    metadata: Optional[dict[str, Any]] = None
    if_exists: Optional[Literal["raise", "do_nothing"]] = None
    supersteps: Any = None
    ttl: Any = None

    def unserved(self) -> str | None:
        """A field that asks for what there is none of."""
        return "ttl" if self.ttl else None


class ThreadChangeBody(Struct):
    """The body of ``PATCH /threads/<thread_id>``."""

    metadata: Optional[dict[str, Any]] = None
    ttl: Any = None

    def unserved(self) -> str | None:
        """A field that asks for what there is none of."""
        return "ttl" if self.ttl else None


class StateBody(Struct):
    """The body of ``POST …/state``."""

    values: Any = None
    as_node: Optional[Name] = None

    def unserved(self) -> str | None:
        """A field that asks for what there is none of: a state is not written by clients."""
        if self.values is not None:
            return "values"
        return "as_node" if self.as_node is not None else None


class CheckpointBody(Struct):
    """The body of ``POST …/state/checkpoint``."""

    checkpoint: dict[str, Any]

    @property
    def checkpoint_id(self) -> str:
        """Which state is asked for; '' for the newest."""
        return str(self.checkpoint.get("checkpoint_id") or "")
