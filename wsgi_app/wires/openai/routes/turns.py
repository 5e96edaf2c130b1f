"""What the OpenAI routes share: retried requests, answers read as a whole, errors."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote

from flask import Request, Response, request

from wsgi_app.delivery.feed import Feed
from wsgi_app.delivery.reader import Reader
from wsgi_app.errors import AgentHostError
from wsgi_app.events import AnyEvent, Cancelled, Error, EventId, NumberedEvent
from wsgi_app.store.base import SessionKey, SessionState
from wsgi_app.web.envelope import error_headers, error_status, json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.turns import OpenTurn
from wsgi_app.wires.openai.encode.chat import failure
from wsgi_app.wires.openai.encode.errors import STATUSES, error_object

#: How long after a turn's end a retried request still gets its answer. The SDKs wait up to 8 s
#: before they send a request again.
RETRY_SECONDS: Final = 30.0
_RETRYABLE: Final = (429, 503)
_COUNT: Final = re.compile(r"[0-9]{1,4}", re.ASCII)


class Encoder(Protocol):
    """A wire's encoder, which knows when its answer is whole."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be sent."""

    def __call__(self, numbered: NumberedEvent) -> bytes:
        """Make an event's frames."""


def openai_error(error: AgentHostError) -> Response:
    """Answer a refusal: nothing was begun, so that those that pass may be sent again."""
    status = STATUSES.get(error.code, error_status(error))
    headers = error_headers(error)
    if status not in _RETRYABLE:
        # The SDKs would repeat a 409 and every 5xx.
        headers["x-should-retry"] = "false"
    body = error_object(error.code, error.message, error.details, status)
    return json_response(body, status, headers)


def failed_turn(error: Error) -> Response:
    """Answer a turn that failed: a repeated request would begin a second one."""
    status = error_status(error)
    return json_response(failure(error, status), status, {"x-should-retry": "false"})


def model_name(mount: Mount) -> str:
    """The name under which the agent is a model."""
    return mount.settings.model or "agent"


def files_url() -> str:
    """Where this host's files are, from outside; known while its request is served."""
    prefix = request.root_path + request.path.rpartition("/v1/")[0]
    return f"{request.host_url.rstrip('/')}{quote(prefix)}/files"


def is_retry(request: Request) -> bool:
    """Whether the SDK sends this request once more, by its own account."""
    count = request.headers.get("X-Stainless-Retry-Count", "")
    return _COUNT.fullmatch(count) is not None and int(count) > 0


def body_digest(request: Request) -> str:
    """The same for a request and its retry; the body has been read."""
    return hashlib.sha256(request.get_data()).hexdigest()


def is_fresh(view: SessionState) -> bool:
    """Whether the session's newest turn runs, or has just ended."""
    return bool(view.active_turns) or time.time() - view.updated_at < RETRY_SECONDS


def until_end(reader: Reader, encoder: Encoder) -> Callable[[NumberedEvent], bytes]:
    """End the stream when the encoder's answer is whole, even if the turn continues."""

    def encode(numbered: NumberedEvent) -> bytes:
        made = encoder(numbered)
        if encoder.ended:
            reader.finish()
        return made

    return encode


def read_to_end(opened: OpenTurn, take: Callable[[NumberedEvent], bool]) -> None:
    """Run the turn and give its events to ``take`` until that says that it has all; closes it.

    Returns early if the client has hung up. Raises RequestError.
    """

    def take_one(numbered: NumberedEvent) -> None:
        if take(numbered):
            opened.reader.finish()

    opened.read(take_one)


def is_known(mount: Mount, key: SessionKey) -> bool:
    """Whether the tenant has this session."""
    return mount.store.state_of(key) is not None


def begun_before(mount: Mount, key: SessionKey) -> int | None:
    """The session's newest turn, if it may be what an earlier try of a request has begun."""
    view = mount.store.state_of(key)
    if view is None or not view.turn or not is_fresh(view):
        return None
    if view.active_turns:
        return view.active_turns[0]
    # A turn that its client no longer waited for is no answer.
    is_answer = not isinstance(_newest_event(mount, key, view.turn), Cancelled)
    return view.turn if is_answer else None


def _newest_event(mount: Mount, key: SessionKey, turn: int) -> AnyEvent | None:
    """The last event of a turn that is there now."""
    feed = Feed(mount.runner, key, EventId(turn, 0), turn)
    newest: AnyEvent | None = None
    try:
        while events := feed.read(0):
            newest = events[-1].event
    finally:
        feed.close()
    return newest
