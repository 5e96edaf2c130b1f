"""From a request of the Responses API to the turn that it begins, continues or answers."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from typing import Final, Generic, Optional, Protocol, TypeVar

from wsgi_app.attachments import Attachment
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.errors import RequestError
from wsgi_app.events import ClientTool, encode_json
from wsgi_app.store.base import SessionKey, SessionView
from wsgi_app.web.client_tools import checked_tools, takes_attachments, takes_tools
from wsgi_app.web.current import current_principal, session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import new_session_id
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.attachments import take_attachments
from wsgi_app.wires.openai.request.messages import bad_request
from wsgi_app.wires.openai.request.responses import ResponseBody
from wsgi_app.wires.openai.request.tools import function_tools
from wsgi_app.wires.openai.routes.questions import NOT_ANSWERED, Asked, answer_to, find_question
from wsgi_app.wires.openai.routes.read import find_with_history
from wsgi_app.wires.openai.routes.references import resolve
from wsgi_app.wires.openai.routes.turns import begun_before, is_fresh, is_known

#: Retries of a conversation's first request are looked for in spans of this length: this one, and
#: the one before.
SPAN_SECONDS: Final = 300
_PREVIOUS: Final = "previous_response_id"
#: What session ids of responses begin with, and of those that are not stored.
STORED, PASSING = "rs", "rt"


class Opened(Protocol):
    """A turn that was begun or attached to."""

    @property
    def key(self) -> SessionKey:
        """Its session."""

    @property
    def turn(self) -> int:
        """Its number."""

    def close(self) -> None:
        """Leave it; one that was begun runs all the same."""


T = TypeVar("T", bound=Opened)


class Asking(ABC, Generic[T]):
    """A request, over whatever transport it came; used by its thread."""

    #: The same for a request and its retry.
    digest: str
    #: Whether its client sends it once more, by its own account.
    is_retry: bool = False
    idempotency_key: Optional[str] = None
    #: Whether the answer is a stream.
    streams: bool = True

    @abstractmethod
    def open(self, key: SessionKey, wanted: TurnRequest) -> T:
        """Begin a turn and read it; raises RequestError."""

    @abstractmethod
    def attach(self, key: SessionKey, turn: int) -> T:
        """Read a turn that is there already; raises RequestError."""


def open_response(mount: Mount, body: ResponseBody, asking: Asking[T]) -> tuple[T, int]:
    """The turn that the request begins or continues, and where its response begins in it."""
    if body.previous_response_id is not None:
        previous, view = find_previous(mount, body.previous_response_id)
        asked = _find_question(mount, previous, body)
        if asked is None:
            _resolve(mount, body)
            return _go_on(mount, body, previous, view, asking), 0
        if body.has_messages():
            raise bad_request("input", "Expected the question's answer alone")
        return _answer(mount, body, previous, asked, asking), asked.seq
    answered = body.answered()
    if answered is not None and is_known(mount, session_key(answered.session_id)):
        asked = _find_question(mount, answered, body)
        if asked is not None:
            return _answer(mount, body, answered, asked, asking), asked.seq
    _resolve(mount, body)
    return _begin_conversation(mount, body, asking), 0


def _resolve(mount: Mount, body: ResponseBody) -> None:
    if not isinstance(body.input, str):
        body.input = resolve(mount, body.input)


def _wanted(
    mount: Mount, body: ResponseBody, asking: Asking[T], before: SessionView | None = None
) -> TurnRequest:
    attachments = _attachments(mount, body)
    # Behind them: their bytes are not for the store.
    note = b"" if body.store is False and before is None else body.note()
    history, message = body.read_input()
    idempotency = asking.idempotency_key
    # A session's own history is the store's; what the client adds to it comes behind.
    earlier = [] if before is None else before.messages
    return TurnRequest(
        message=message,
        metadata=body.agent_metadata(),
        history=[*earlier, *history] if history else None,
        on_disconnect="continue" if body.background else "cancel",
        idempotency_key=idempotency,
        digest=asking.digest if idempotency else "",
        ephemeral=before is None and body.store is False and idempotency is None,
        passing=before is None and body.store is False,
        streams=asking.streams,
        client_tools=_client_tools(mount, body),
        attachments=attachments,
        note=note,
    )


def _attachments(mount: Mount, body: ResponseBody) -> tuple[Attachment, ...]:
    """What came with the newest message; left there for an agent of text, which refuses it."""
    if isinstance(body.input, str) or not takes_attachments(mount):
        return ()
    return take_attachments(body.input, "input")


def _client_tools(mount: Mount, body: ResponseBody) -> tuple[ClientTool, ...]:
    """The request's functions; none for an agent that calls no tools of clients'."""
    if body.tool_choice == "none" or not takes_tools(mount):
        return ()
    return checked_tools(mount, function_tools(body.tools), bad_request)


# -- a new conversation


def _begin_conversation(mount: Mount, body: ResponseBody, asking: Asking[T]) -> T:
    wanted = _wanted(mount, body, asking)
    if wanted.idempotency_key is not None:
        tenant = current_principal().tenant
        return asking.open(session_key(new_session_id(tenant, wanted.idempotency_key)), wanted)
    span = int(time.time()) // SPAN_SECONDS
    prefix = f"{PASSING if wanted.passing else STORED}-{asking.digest[:32]}"
    if asking.is_retry:
        tried = [f"{prefix}-{span}", f"{prefix}-{span - 1}"]
        begun = _find_begun(mount, tried, asking)
        if begun is not None:
            return begun
    key = session_key(f"{prefix}-{span}")
    if not is_known(mount, key):
        try:
            return asking.open(key, wanted)
        except RequestError as error:
            if error.code != "session_busy":
                raise
    # Another conversation that begins with the same words.
    return asking.open(session_key(f"{prefix}-{secrets.token_hex(8)}"), wanted)


def _find_begun(mount: Mount, session_ids: list[str], asking: Asking[T]) -> T | None:
    """The conversation that an earlier try of this request has begun, and nobody continued."""
    for session_id in session_ids:
        key = session_key(session_id)
        if begun_before(mount, key) == 1:
            return asking.attach(key, 1)
    return None


# -- the next turn of one


def unknown_previous() -> RequestError:
    """The refusal of a request that continues a response which is not there."""
    details = {"field": _PREVIOUS}
    return RequestError("previous_response_not_found", "There is no such response.", details)


def find_previous(mount: Mount, response_id: str) -> tuple[ResponseRef, SessionView]:
    """The response to continue, and its session with its messages; raises RequestError."""
    try:
        return find_with_history(mount, response_id)
    except RequestError:
        raise unknown_previous() from None


def _go_on(
    mount: Mount, body: ResponseBody, previous: ResponseRef, view: SessionView, asking: Asking[T]
) -> T:
    wanted = _wanted(mount, body, asking, view)
    key = session_key(previous.session_id)
    if view.turn == previous.turn:
        return _open_next(key, wanted, asking)
    may_repeat = wanted.idempotency_key is not None or (asking.is_retry and is_fresh(view))
    if may_repeat and view.turn == previous.turn + 1 and _newest_message(view) == wanted.message:
        return asking.attach(key, view.turn)
    raise bad_request(_PREVIOUS, "The conversation has gone on; name its newest response")


def _open_next(key: SessionKey, wanted: TurnRequest, asking: Asking[T]) -> T:
    try:
        return asking.open(key, wanted)
    except RequestError as error:
        if error.code != "session_busy":
            raise
        message = "The previous response's turn runs, or waits for the output of its open call."
        raise RequestError(error.code, message, error.details) from None


def _newest_message(view: SessionView) -> str | None:
    mine = [one["content"] for one in view.messages if one["role"] == "user"]
    return str(mine[-1]) if mine else None


# -- the answer to a question


def _find_question(mount: Mount, previous: ResponseRef, body: ResponseBody) -> Asked | None:
    """The question of that response which the request answers."""
    answers = body.read_answers()
    if not answers:
        return None
    # An answer alone can be nothing else.
    asked = find_question(mount, previous, waits=body.ends_with_answer())
    return None if asked is None or answer_to(asked.event, answers) is NOT_ANSWERED else asked


def _answer(
    mount: Mount, body: ResponseBody, previous: ResponseRef, asked: Asked, asking: Asking[T]
) -> T:
    key: SessionKey = session_key(previous.session_id)
    request_id = asked.event.request_id
    value = answer_to(asked.event, body.read_answers())
    # Attached first: the turn must not be without a reader once it continues.
    opened = asking.attach(key, previous.turn)
    try:
        mount.store.post_input(key, request_id, encode_json(value))
    except BaseException as error:
        is_answered = isinstance(error, RequestError) and error.code == "no_pending_input"
        if is_answered and asking.is_retry:
            return opened
        opened.close()
        raise
    return opened
