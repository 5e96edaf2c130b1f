"""The operator's page: what all workers run, and a way to end it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Annotated, Final, Union

from flask import Response, g, request
from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.delivery.disconnect import Watch
from wsgi_app.delivery.server import client_disconnected, client_socket
from wsgi_app.delivery.slots import Slot
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.errors import StoreUnavailable
from wsgi_app.events import encode_json
from wsgi_app.frames import sse
from wsgi_app.store.base import SessionKey, WorkerView
from wsgi_app.web.answers import CancelAnswer
from wsgi_app.web.current import current_principal
from wsgi_app.web.envelope import json_response
from wsgi_app.web.ids import SessionId, TurnId
from wsgi_app.web.mount import Mount
from wsgi_app.web.operation import (
    BODY_CODES,
    READ_CODES,
    STORE_CODES,
    Events,
    Operation,
    Reply,
    answers,
    file_of,
)
from wsgi_app.web.page import send_file
from wsgi_app.web.parse import check_session_id, parse_body
from wsgi_app.web.respond import STREAM_HEADERS
from wsgi_app.web.route import ADMIN, OPEN, Route
from wsgi_app.web.stream import EventStream

log = logging.getLogger("wsgi_app")

SNAPSHOT_SECONDS: Final = 1.0
#: No session's name: all operators' streams count as readers of it.
_NO_SESSION: Final = "/admin"


class AdminSnapshot(Struct, kw_only=True):
    """All workers at a time, in seconds since the epoch; ``error`` if the store does not answer."""

    at: float
    workers: list[WorkerView]
    error: Union[str, UnsetType] = UNSET


class AdminCancelBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /admin/cancel``: whose turn to end, or all turns of a session."""

    tenant: Annotated[str, Meta(min_length=1)]
    session_id: SessionId
    turn_id: Union[TurnId, UnsetType] = UNSET


def get_admin(_mount: Mount) -> Response:
    """GET /admin: the operator's page; what it shows needs the scope."""
    return send_file("admin.html")


def get_admin_script(_mount: Mount) -> Response:
    """GET /admin.js: the page's script."""
    return send_file("admin.js")


def get_admin_style(_mount: Mount) -> Response:
    """GET /admin.css: the page's style."""
    return send_file("admin.css")


def post_admin_cancel(mount: Mount) -> Response:
    """POST /admin/cancel: end a turn of any tenant."""
    body = parse_body(request, AdminCancelBody, mount.settings.max_body_bytes)
    session_id = check_session_id(body.session_id)
    turn = None if body.turn_id is UNSET else int(body.turn_id)
    numbers = mount.cancel(SessionKey(body.tenant, session_id), turn)
    log.warning(
        "admin %r cancelled the turns %s of session %s of tenant %r",
        current_principal().tenant,
        numbers,
        session_id,
        body.tenant,
    )
    turn_id = str(numbers[0]) if numbers else UNSET
    return json_response(CancelAnswer(cancelled=bool(numbers), turn_id=turn_id))


def get_admin_events(mount: Mount) -> Response:
    """GET /admin/events: all workers and their turns, every second."""
    key = SessionKey(current_principal().tenant, _NO_SESSION)
    viewer = mount.attach((key,), lambda slot: _Viewer(mount, slot))
    response = EventStream(mount, viewer.frames(), STREAM_HEADERS)
    response.call_on_close(viewer.close)
    # As other streams: the site's after_request may answer something else.
    g.wsgi_app_stream = (response, viewer, lambda: None)
    return response


class _Viewer:
    """One operator's stream; used by its request's thread, the watcher's sets ``_gone``."""

    def __init__(self, mount: Mount, slot: Slot) -> None:
        self._mount = mount
        self._slot = slot
        self._wakeup = Wakeup()
        self._gone = False
        self._closed = False
        environ = request.environ
        self._watch: Watch = mount.worker.watcher.watch(
            client_socket(environ), client_disconnected(environ), self._hang_up
        )

    def frames(self) -> Iterator[bytes]:
        """A snapshot every second, until the client or the worker leaves."""
        try:
            yield from self._write(sse.OPENING)
            while not self._gone and not self._mount.draining:
                yield from self._write(sse.frame(encode_json(self._snapshot())))
                self._wakeup.wait(SNAPSHOT_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Leave the slot and the socket; may be called twice."""
        if not self._closed:
            self._closed = True
            self._watch.close()
            self._slot.give_back()

    def _snapshot(self) -> AdminSnapshot:
        try:
            return AdminSnapshot(at=time.time(), workers=self._mount.store.observe_workers())
        except StoreUnavailable as error:
            return AdminSnapshot(at=time.time(), workers=[], error=error.code)

    def _write(self, chunk: bytes) -> Iterator[bytes]:
        self._watch.writing_since = time.monotonic()
        yield chunk
        self._watch.writing_since = None

    def _hang_up(self, _watch: Watch) -> None:
        self._gone = True
        self._wakeup.set()


_EVENTS: Final = Operation(
    group="Operation",
    replies={200: Reply("A snapshot every second.", (Events(data=(AdminSnapshot,)),))},
    codes=READ_CODES,
)
_CANCEL: Final = Operation(
    group="Operation",
    body=AdminCancelBody,
    replies=answers(CancelAnswer, "Answered when the turn has ended, or after a second."),
    codes=(*BODY_CODES, *STORE_CODES),
)
#: With AGENT_ADMIN alone.
ROUTES: Final = (
    Route("GET", "/admin", get_admin, OPEN, file_of("Description", "text/html")),
    Route("GET", "/admin.js", get_admin_script, OPEN, file_of("Description", "text/javascript")),
    Route("GET", "/admin.css", get_admin_style, OPEN, file_of("Description", "text/css")),
    Route("GET", "/admin/events", get_admin_events, ADMIN, _EVENTS),
    Route("POST", "/admin/cancel", post_admin_cancel, ADMIN, _CANCEL),
)
