"""What the Redis store's scripts answer, as the contract's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import asdict

from wsgi_app.events import LOST_SEQ, CancelReason, EventId
from wsgi_app.store.base import (
    JournalSlice,
    SessionKey,
    SessionState,
    SessionView,
    WorkerInfo,
    WorkerView,
)
from wsgi_app.store.redis.calls import pairs, triples
from wsgi_app.store.redis.keys import decode_messages


def session_state(key: SessionKey, reply: Any) -> SessionState | None:
    """What ``lua/state_of.lua`` returns."""
    if reply is None:
        return None
    newest, active, owner, created, updated = reply
    return SessionState(
        session_id=key.session_id,
        turn=int(newest),
        active_turns=tuple(int(turn) for turn in active.split(b",") if turn),
        owner=owner.decode(),
        created_at=int(created) / 1e6,
        updated_at=int(updated) / 1e6,
    )


def session_view(key: SessionKey, reply: Any) -> SessionView | None:
    """What ``lua/history.lua`` returns, if that is not 'large'."""
    state = None if reply is None else session_state(key, reply[:-1])
    if state is None:
        return None
    return SessionView(**asdict(state), messages=decode_messages(reply[-1]))


def journal_slice(reply: Any) -> JournalSlice | None:
    """What ``lua/read.lua`` answers."""
    if reply is None:
        return None
    newest, has_gap, live, marks, *pieces = reply
    return JournalSlice(
        events=_numbered(pieces),
        has_gap=bool(has_gap),
        live_turn=int(live) if live else None,
        newest_turn=int(newest),
        marks={int(turn): mark for turn, mark in pairs(marks)},
    )


def _numbered(
    pieces: Sequence[tuple[bytes, bytes, Sequence[bytes], bytes]],
) -> list[tuple[EventId, bytes]]:
    rows = []
    for turn, first_seq, events, lost in pieces:
        rows += [(EventId(int(turn), int(first_seq) + i), json) for i, json in enumerate(events)]
        if lost:
            rows.append((EventId(int(turn), LOST_SEQ), lost))
    return rows


def worker_views(reply: Any) -> list[WorkerView]:
    """What ``lua/list_workers.lua`` answers, by the workers' ids."""
    return [
        WorkerView(
            worker_id=worker_id,
            seen_at=int(seen_at) / 1e6,
            info=msgspec.json.decode(info, type=WorkerInfo),
        )
        for worker_id, seen_at, info in sorted(triples(reply))
    ]


def cancel_reason(cancel: bytes) -> CancelReason | None:
    """A turn's cancel flag, '' for none."""
    return cast("CancelReason", cancel.decode()) if cancel else None
