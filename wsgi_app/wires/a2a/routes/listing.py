"""The tenant's tasks, newest first."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from wsgi_app.events import encode_json
from wsgi_app.store.base import SessionState
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, invalid
from wsgi_app.wires.a2a.encode import JsonObject
from wsgi_app.wires.a2a.request import ListRequest, TaskRef
from wsgi_app.wires.a2a.routes.refusals import A2aError
from wsgi_app.wires.a2a.routes.tasks import task_of

#: So many sessions are looked at, those that began last.
MAX_SESSIONS: Final = 1000
#: So many turns of each.
MAX_TURNS: Final = 100
#: So many tasks are read for one page, where few of them have the state that is asked for.
MAX_READ: Final = 200
_SESSIONS_PER_READ: Final = 200


class ListPosition(NamedTuple):
    """A task's position in the list: by the time of its session, then by its number."""

    at: float
    session_id: str
    turn: int

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(encode_json(self)).decode()

    @classmethod
    def parse(cls, text: str) -> ListPosition:
        """Read one; raises ValueError for what is none."""
        try:
            found: ListPosition = msgspec.json.decode(base64.urlsafe_b64decode(text), type=cls)
        except (binascii.Error, msgspec.DecodeError, UnicodeError) as error:
            raise ValueError("not a position") from error
        return found


def list_tasks(mount: Mount, wanted: ListRequest) -> JsonObject:
    """One page of the tenant's tasks; raises RequestError."""
    since = _since(wanted.status_timestamp_after)
    views = {view.session_id: view for view in _sessions(mount, wanted.context_id)}
    positions = [
        ListPosition(view.updated_at, view.session_id, turn)
        for view in views.values()
        for turn in range(view.turn, max(0, view.turn - MAX_TURNS), -1)
        if view.updated_at >= since
    ]
    positions.sort(reverse=True)
    found: list[JsonObject] = []
    last = None
    for position in _behind(positions, wanted.page_token)[:MAX_READ]:
        if len(found) == wanted.page_size:
            break
        last = position
        task = _task(mount, position, views[position.session_id], wanted)
        if task is not None:
            found.append(task)
    is_last = last is None or last == positions[-1]
    return {
        "tasks": found,
        "nextPageToken": "" if is_last else str(last),
        "pageSize": wanted.page_size,
        "totalSize": len(positions),
    }


def _task(
    mount: Mount, position: ListPosition, view: SessionState, wanted: ListRequest
) -> JsonObject | None:
    """A task, if it is kept and has the state that is asked for."""
    ref = TaskRef(position.session_id, position.turn)
    try:
        builder = task_of(mount, ref, view, position.at)
    except A2aError:
        return None
    if wanted.status not in (None, builder.state):
        return None
    return builder.document(wanted.history_length, artifacts=wanted.include_artifacts)


def _sessions(mount: Mount, context_id: str | None) -> Iterator[SessionState]:
    if context_id:
        view = mount.store.state_of(session_key(check_session_id(context_id)))
        if view is not None:
            yield view
        return
    tenant, cursor, left = current_principal().tenant, None, MAX_SESSIONS
    while left > 0:
        page = mount.store.list_sessions(tenant, min(left, _SESSIONS_PER_READ), cursor)
        yield from page.sessions
        left -= len(page.sessions)
        cursor = page.next_cursor
        if cursor is None:
            return


def _behind(positions: list[ListPosition], token: str) -> list[ListPosition]:
    """The positions behind the one that the last page ended with."""
    if not token:
        return positions
    try:
        last = ListPosition.parse(token)
    except ValueError:
        raise invalid("pageToken", "Expected a token of this list") from None
    return [position for position in positions if position < last]


def _since(text: str | None) -> float:
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise invalid("statusTimestampAfter", "Expected a time as of RFC 3339") from None
