"""What a client wants of a thread's events."""

from __future__ import annotations

from typing import Annotated, Any, Final, Optional

from msgspec import Meta, Struct

CHANNELS: Final = frozenset(
    {
        *("values", "updates", "messages", "tools", "lifecycle", "input"),
        *("checkpoints", "tasks", "custom"),
    }
)
_CUSTOM: Final = "custom:"
#: So many of each are looked at.
MAX_NAMES: Final = 64


class EventsBody(Struct):
    """The body of ``POST …/stream/events``."""

    channels: Annotated[list[str], Meta(min_length=1, max_length=MAX_NAMES)]
    namespaces: Optional[
        Annotated[
            list[Annotated[list[str], Meta(max_length=MAX_NAMES)]], Meta(max_length=MAX_NAMES)
        ]
    ] = None
    depth: Optional[Annotated[int, Meta(ge=0)]] = None
    since: Optional[Annotated[int, Meta(ge=0)]] = None

    def unknown_channel(self) -> str | None:
        """A channel that is none of the protocol's."""
        for channel in self.channels:
            named = channel.startswith(_CUSTOM) and len(channel) > len(_CUSTOM)
            if channel not in CHANNELS and not named:
                return channel
        return None


class Subscription:
    """Which events a client gets; used by one thread."""

    def __init__(self, body: EventsBody) -> None:
        self._channels = frozenset(body.channels)
        self._namespaces = body.namespaces
        self._depth = body.depth
        #: The number of the last event that the client has; -1 for none.
        self.since = -1 if body.since is None else body.since

    def wants(self, channel: str) -> bool:
        """Whether anything of a channel is wanted, of any name."""
        if channel == "custom":
            return any(one.partition(":")[0] == "custom" for one in self._channels)
        return channel in self._channels

    def matches(self, channel: str, namespace: list[str], data: Any) -> bool:
        """Whether an event is wanted."""
        if not self.wants(channel):
            return False
        if channel == "custom" and "custom" not in self._channels:
            name = data.get("name") if isinstance(data, dict) else None
            if f"{_CUSTOM}{name}" not in self._channels:
                return False
        return self._reaches(namespace)

    def _reaches(self, namespace: list[str]) -> bool:
        if not self._namespaces:
            return True
        return any(
            _begins_with(namespace, prefix)
            and (self._depth is None or len(namespace) - len(prefix) <= self._depth)
            for prefix in self._namespaces
        )


def _begins_with(namespace: list[str], prefix: list[str]) -> bool:
    """Whether it is below; a segment without its task's name stands for all of that node."""
    return len(prefix) <= len(namespace) and all(
        wanted == segment or (":" not in wanted and segment.partition(":")[0] == wanted)
        for wanted, segment in zip(prefix, namespace)
    )
