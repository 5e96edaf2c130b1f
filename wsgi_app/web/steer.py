"""Steers of all wires."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from wsgi_app.errors import RequestError
from wsgi_app.events import EventId
from wsgi_app.store.base import SessionKey
from wsgi_app.store.refusals import refusal
from wsgi_app.web.client_tools import takes_steering
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import message_too_long

T = TypeVar("T")

#: How long a message waits for the end of a turn that takes no more.
END_SECONDS: Final = 1.0


def new_steer_id(idempotency_key: str | None) -> str:
    """A message's name: the same for a request and its retry under one key."""
    if idempotency_key is None:
        return secrets.token_hex(8)
    return hashlib.sha256(idempotency_key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def steer_turn(mount: Mount, key: SessionKey, steer_id: str, message: str) -> EventId:
    """Steer the session's running turn; returns the event's id.

    Raises RequestError, see `Steers.steer`, and ``at_capacity`` where too many requests wait.
    """
    if len(message) > mount.settings.max_message_chars:
        raise message_too_long(mount.settings.max_message_chars)
    if not takes_steering(mount):
        raise refusal("not_steerable")
    with mount.permit(key) as may_wait:
        if not may_wait:
            raise RequestError("at_capacity", "Too many requests wait for turns; try again.")
        return mount.runner.steers.steer(key, steer_id, message)


def begin_or_steer(
    mount: Mount, key: SessionKey, begin: Callable[[], T], steer: Callable[[], T]
) -> T:
    """Begin a turn, or steer the one that runs; begin one behind it if that is about to end.

    Raises RequestError: what ``begin`` does but ``session_busy``, and what ``steer`` does.
    """
    try:
        return begin()
    except RequestError as error:
        if error.code != "session_busy":
            raise
        turn = int(error.details["turn_id"])
    try:
        return steer()
    except RequestError as error:
        if error.code != "not_steerable" or not takes_steering(mount):
            raise
        refused = error
    mount.runner.steers.await_end(key, turn, END_SECONDS)
    try:
        return begin()
    except RequestError as error:
        raise refused if error.code == "session_busy" else error from None
