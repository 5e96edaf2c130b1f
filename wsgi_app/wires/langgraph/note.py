"""What is kept with a turn that this wire has begun, and with a thread, to be shown later."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from wsgi_app.events import encode_json
from wsgi_app.nesting import is_shallow

#: What is larger, or nested too deep, is left out of a run, since it is the client's own, and
#: refused for a thread.
MAX_METADATA_BYTES = 16_384


class TurnNote(Struct, frozen=True):
    """A run as its client asked for it."""

    #: In milliseconds since the epoch; grows from turn to turn, whatever the workers' clocks say.
    started_at: int
    assistant_id: str
    #: The client's name for the message; '' if it gave none.
    message_id: str = ""
    metadata: dict[str, Any] = {}
    strategy: str = ""

    def encode(self) -> bytes:
        """The note for the store."""
        if is_shallow(self.metadata) and len(encode_json(self.metadata)) <= MAX_METADATA_BYTES:
            return encode_json(self)
        return encode_json(msgspec.structs.replace(self, metadata={}))


class ThreadNote(Struct, frozen=True):
    """What is kept with a thread itself."""

    #: Of the call that wrote it, so that of two equal ones each knows whether it was the one.
    made_by: str
    metadata: dict[str, Any] = {}

    def encode(self) -> bytes:
        """The note for the store."""
        return encode_json(self)


def decode_thread_note(json: bytes) -> ThreadNote | None:
    """Read a thread's note; None for none."""
    try:
        return msgspec.json.decode(json, type=ThreadNote)
    except msgspec.MsgspecError:
        return None


def decode_note(json: bytes) -> TurnNote | None:
    """Read a note; None for another wire's, and for none."""
    try:
        return msgspec.json.decode(json, type=TurnNote)
    except msgspec.MsgspecError:
        return None
