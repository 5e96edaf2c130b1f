"""What is kept with a thread itself: its metadata."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from wsgi_app.errors import RequestError
from wsgi_app.events import encode_json
from wsgi_app.nesting import is_shallow
from wsgi_app.store.base import Message, SessionKey, SessionState
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid
from wsgi_app.wires.langgraph.note import MAX_METADATA_BYTES, ThreadNote, decode_thread_note
from wsgi_app.wires.langgraph.routes.feed import note_of

#: How often a change is tried that others have come before.
_TRIES: Final = 10


def make_thread(
    mount: Mount, key: SessionKey, metadata: dict[str, Any], messages: Sequence[Message] = ()
) -> bool:
    """Make a thread of these messages; False if there is one. Raises RequestError."""
    note = ThreadNote(uuid.uuid4().hex, _checked(metadata)).encode()
    return mount.store.note_session(key, note, None, messages)


def add_metadata(mount: Mount, key: SessionKey, metadata: dict[str, Any]) -> None:
    """Add to what is kept with a thread; raises RequestError."""
    for _ in range(_TRIES):
        before = mount.store.turn_note(key, 0)
        merged = _checked({**_own(before), **metadata})
        note = ThreadNote(uuid.uuid4().hex, merged).encode()
        if mount.store.note_session(key, note, before):
            return
        if mount.store.state_of(key) is None:
            raise RequestError("not_found", "There is no such thread.")
    raise RequestError("session_busy", "Others change this thread too; try again.")


def metadata_of(mount: Mount, key: SessionKey, view: SessionState) -> dict[str, Any]:
    """A thread's own metadata, in front of what its newest run was started with."""
    own = _own(mount.store.turn_note(key, 0))
    note = note_of(mount, key, view.turn) if view.turn else None
    if note is None:
        return own
    named = {"assistant_id": note.assistant_id, "graph_id": note.assistant_id}
    return {**note.metadata, **own, **named}


def own_metadata(mount: Mount, key: SessionKey) -> dict[str, Any]:
    """What was given to a thread itself."""
    return _own(mount.store.turn_note(key, 0))


def _own(json: bytes) -> dict[str, Any]:
    note = decode_thread_note(json)
    return {} if note is None else note.metadata


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    if not is_shallow(metadata):
        raise invalid("metadata", "It is nested too deep")
    if len(encode_json(metadata)) > MAX_METADATA_BYTES:
        raise invalid("metadata", f"Expected {MAX_METADATA_BYTES} bytes at most")
    return metadata
