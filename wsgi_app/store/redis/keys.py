"""The names of keys and channels in Redis, and what is written into them; no other file knows.

But for the parts of a session, which ``lua/session.lua`` derives from the one name given here:
they share its hash tag, and so its slot in a cluster. Names of tenants, sessions and workers are
percent-encoded, so that none can end a tag or pass for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

import msgspec

from wsgi_app.events import encode_json
from wsgi_app.store.base import Message, SessionKey, Signal, StartRate
from wsgi_app.store.values import begins_exchange


@lru_cache(maxsize=4096)  # a call of the store names its session and tenant ten times
def _quote(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")


def _unquote(text: str) -> str:
    return unquote(text, errors="surrogatepass")


def _tag(key: SessionKey) -> str:
    return f"{_quote(key.tenant)}:{_quote(key.session_id)}"


def _from_tag(tag: str) -> SessionKey:
    tenant, _, session_id = tag.partition(":")
    return SessionKey(_unquote(tenant), _unquote(session_id))


class Keys:
    """The names in one namespace, '' for that of versions which had none; has no state."""

    def __init__(self, namespace: str) -> None:
        # A mark of its own, so that no namespace makes names of another kind.
        self._start = f"agent@{quote(namespace)}:" if namespace else "agent:"
        #: All keys and channels, as a user's rights name them.
        self.pattern = f"{self._start}*"
        self.alive = f"{self._start}{{workers}}:alive"
        self.secret = f"{self._start}secret"
        self.probe = f"{self._start}probe"
        #: The pattern of all workers' channels.
        self.all_channels = f"{self._start}signals:*"

    def session(self, key: SessionKey) -> str:
        """The hash of a session, from which the scripts derive its other keys, and channels."""
        return f"{self._start}{{{_tag(key)}}}:s"

    def tenant(self, tenant: str) -> list[str]:
        """A tenant's turns, its sessions by creation and expiry, its turns that ask, its bytes."""
        parts = ("turns", "created", "expires", "asking", "stored")
        return [self._of_tenant(tenant, part) for part in parts]

    def starts(self, tenant: str, rate: StartRate) -> list[str]:
        """A tenant's starts in the window before the current one, and in that; per rate."""
        window = f"starts:{rate.amount}/{rate.window_seconds}"
        return [self._of_tenant(tenant, part) for part in (f"{window}:before", window)]

    def turn_name(self, tenant: str, name: str) -> str:
        """Where a turn is found by a name of its tenant's."""
        return self._of_tenant(tenant, f"named:{_quote(name)}")

    def _of_tenant(self, tenant: str, part: str) -> str:
        return f"{self._start}tenant:{{{_quote(tenant)}}}:{part}"

    def worker(self, worker_id: str) -> str:
        """The turns of a worker; in one slot with those of all others, and with ``alive``."""
        return f"{self._start}{{workers}}:turns:{_quote(worker_id)}"

    def channel(self, worker_id: str) -> str:
        """The channel of a worker's signals."""
        return f"{self._start}signals:{worker_id}"


def tenant_member(key: SessionKey, run_id: str) -> str:
    """A turn among its tenant's."""
    return f"{_quote(key.session_id)} {run_id}"


def worker_member(key: SessionKey, run_id: str) -> str:
    """A turn among its worker's."""
    return f"{_tag(key)} {run_id}"


def parse_worker_member(member: str) -> tuple[SessionKey, str]:
    """Read back what `worker_member` made."""
    tag, _, run_id = member.partition(" ")
    return _from_tag(tag), run_id


def parse_signal(payload: bytes) -> Signal:
    """Read what a script has published; its time only distinguishes two that are equal.

    Raises ValueError for anything else.
    """
    kind, tag, turn, _, value = payload.decode().split(" ", 4)
    try:
        return msgspec.convert((kind, tuple(_from_tag(tag)), int(turn), value), Signal)
    except msgspec.ValidationError as error:  # a ValueError from msgspec 0.21 on
        raise ValueError("this is no signal") from error


def encode_message(message: Message) -> bytes:
    """A chat message behind a mark, which says whether an exchange begins with it."""
    return (b"u" if begins_exchange(message) else b"-") + encode_json(message)


def decode_messages(encoded: Sequence[bytes]) -> list[Message]:
    """Read back what `encode_message` made."""
    return [msgspec.json.decode(message[1:]) for message in encoded]
