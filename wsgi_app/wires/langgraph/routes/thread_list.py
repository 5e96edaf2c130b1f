"""Threads as they are found: listed and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flask import Response, request
from msgspec import Raw

from wsgi_app.events import encode_json
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.current import current_principal
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import invalid, parse_body
from wsgi_app.wires.langgraph.request.threads import SearchBody
from wsgi_app.wires.langgraph.routes.thread_notes import metadata_of
from wsgi_app.wires.langgraph.routes.threads import describe_thread, status_of

#: So many of a tenant's newest threads are looked through.
MAX_SEARCHED: Final = 1000
_PAGE: Final = 100
#: Behind so many bytes an answer's threads come without what was said in them.
MAX_VALUES_BYTES: Final = 1_048_576


def post_threads_search(mount: Mount) -> Response:
    """POST /langgraph/threads/search: the tenant's threads, newest first."""
    body = _search(mount)
    found: list[Raw] = []
    skipped = size = 0
    for key, view in _matching(mount, body):
        if skipped < body.offset:
            skipped += 1
        elif len(found) < min(body.limit, _PAGE):
            has_values = body.wants_values and size < MAX_VALUES_BYTES
            document = describe_thread(mount, key, view, has_values=has_values)
            encoded = encode_json(_selected(document, body.select))
            found.append(Raw(encoded))
            size += len(encoded)
        else:
            break
    return json_response(found)


def post_threads_count(mount: Mount) -> Response:
    """POST /langgraph/threads/count: how many a search finds."""
    body = _search(mount)
    return json_response(sum(1 for _ in _matching(mount, body)))


def _search(mount: Mount) -> SearchBody:
    body = parse_body(request, SearchBody, mount.settings.max_body_bytes, optional=True)
    if (field := body.unserved()) is not None:
        raise invalid(field, "There is none of it here")
    return body


def _selected(document: dict[str, Any], names: list[str] | None) -> dict[str, Any]:
    return document if names is None else {n: document[n] for n in names if n in document}


def _matching(mount: Mount, body: SearchBody) -> Iterator[tuple[SessionKey, SessionState]]:
    for key, view in _sessions(mount, body):
        if body.ids is not None and key.session_id not in body.ids:
            continue
        if body.metadata:
            metadata = metadata_of(mount, key, view)
            if any(metadata.get(name) != value for name, value in body.metadata.items()):
                continue
        if body.status is None or body.status == status_of(mount, key, view):
            yield key, view


def _sessions(mount: Mount, body: SearchBody) -> Iterator[tuple[SessionKey, SessionState]]:
    tenant = current_principal().tenant
    found: list[tuple[SessionKey, SessionState]] = []
    cursor: str | None = None
    while len(found) < MAX_SEARCHED:
        page = mount.store.list_sessions(tenant, _PAGE, cursor)
        found += [(SessionKey(tenant, view.session_id), view) for view in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break

    def sort_key(one: tuple[SessionKey, SessionState]) -> tuple[Any, float]:
        key, view = one
        if body.sort_by == "thread_id":
            return view.session_id, view.created_at
        if body.sort_by == "status":
            return status_of(mount, key, view), view.created_at
        is_by_change = body.sort_by in ("updated_at", "state_updated_at")
        return view.updated_at if is_by_change else view.created_at, view.created_at

    found.sort(key=sort_key, reverse=not body.is_ascending)
    yield from found
