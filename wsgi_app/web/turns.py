"""From a wire's request to a turn and its reader: the one way in for all wires."""

from __future__ import annotations

from typing import Any, Literal, Optional

from flask import Response, g, request
from msgspec import Struct

from wsgi_app.delivery.polling import await_answer
from wsgi_app.delivery.reader import Reader, ReaderGone
from wsgi_app.engine.order import TurnOrder
from wsgi_app.engine.run import BegunTurn
from wsgi_app.engine.turn import Agent
from wsgi_app.errors import RequestError
from wsgi_app.events import Cancelled, Cursor, Done, Error, EventId, InputRequest
from wsgi_app.limits import Quota
from wsgi_app.store.base import BeginTurn, Message, SessionKey
from wsgi_app.store.refusals import TooManyStarts
from wsgi_app.web.access import demand
from wsgi_app.web.mount import Mount, count_resume, current_request_id
from wsgi_app.web.parse import check_message

#: How long a repeated request waits for what may follow an answer that was just given.
REPLAY_PATIENCE_SECONDS = 0.5


class TurnRequest(Struct, frozen=True, kw_only=True):
    """What a request asks for, in whatever wire it came."""

    message: str
    metadata: dict[str, Any] = {}
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    if_busy: Literal["reject", "enqueue", "interrupt"] = "reject"
    idempotency_key: Optional[str] = None
    #: Digest of the request, to tell a retry from another request under the same key.
    digest: str = ""
    #: Whether the answer is a stream, not one document.
    streams: bool = True
    #: What came before, where the client keeps it; None for what the session holds.
    history: Optional[list[Message]] = None
    #: Whether the turn answers the newest message of the session anew.
    regenerates: bool = False
    #: Whether the session is for this turn alone, and is forgotten soon after it.
    ephemeral: bool = False
    #: See `TurnOrder.passing`.
    passing: bool = False
    #: What answers instead of the hosted agent.
    agent: Optional[Agent] = None
    #: How long it goes on without readers; None is AGENT_ORPHAN_SECONDS.
    orphan_seconds: Optional[float] = None


class OpenTurn:
    """A turn that was begun or attached to, and its reader; used by the request's thread.

    `close` it unless its stream or its outcome is the answer.
    """

    def __init__(self, mount: Mount, key: SessionKey, begun: BegunTurn, reader: Reader) -> None:
        self.key = key
        self.turn = begun.turn
        self.reader = reader
        #: Whether this request began it.
        self.is_new = begun.run is not None
        self._mount = mount
        self._begun = begun

    def start(self) -> None:
        """Let the turn run; once is enough."""
        if self._begun.run is not None:
            self._begun.run.start()

    def wait(self) -> Done | Error | Cancelled | InputRequest | None:
        """Run the turn and wait for its end, or for a question; closes the reader."""
        self.start()
        self._mount.release_resources()
        try:
            return await_answer(
                self.reader,
                lambda request_id: self._mount.runner.is_asked(self.key, self.turn, request_id),
                0 if self.is_new else REPLAY_PATIENCE_SECONDS,
            )
        except ReaderGone:
            # Nobody reads this answer; it says what the turn comes to.
            return Cancelled("disconnected")
        finally:
            self.reader.close()

    def close(self) -> None:
        """Give the reader back; a turn that was begun runs all the same."""
        self.reader.close()
        self.start()


def open_turn(
    mount: Mount,
    key: SessionKey,
    wanted: TurnRequest,
    cursor: Cursor | None = None,
) -> OpenTurn:
    """Begin the turn, or attach to the one that its idempotency key has begun.

    ``cursor``: where the reader stands if it attaches, and if that is of this turn. Raises
    RequestError; nothing was begun then.
    """
    _check(mount, wanted)
    slot = mount.take_slot(key, streams=wanted.streams, starts=True)
    try:
        begun = begin_turn(mount, key, wanted)
        if begun.run is None:
            slot.follow()
        goes_on = begun.run is None and cursor is not None and cursor.place.turn == begun.turn
        start = cursor if cursor is not None and goes_on else Cursor(EventId(begun.turn, 0))
        reader = mount.open_reader(key, start, begun.turn, slot, begun.run)
        count_resume(start)
    except BaseException:
        slot.give_back()
        raise
    return OpenTurn(mount, key, begun, reader)


def _check(mount: Mount, wanted: TurnRequest) -> None:
    check_message(wanted.message, mount.settings.max_message_chars)
    if wanted.if_busy == "interrupt":
        demand("cancel")
    if mount.draining:
        raise RequestError("draining", "This worker is about to leave; try again.")


def begin_turn(mount: Mount, key: SessionKey, wanted: TurnRequest) -> BegunTurn:
    """Begin the turn, or find the one to attach to; it runs once it is started."""
    _check(mount, wanted)
    try:
        begun = _begin(mount, key, wanted)
    except TooManyStarts as error:
        g.wsgi_app_quota = quota = Quota(error.starts, mount.start_rate)
        raise quota.refusal() from None
    if begun.starts is not None:
        g.wsgi_app_quota = Quota(begun.starts, mount.start_rate)
    return begun


def add_headers(response: Response) -> Response:
    """Tell the request's id; to whoever has started a turn, or was refused one, its limit too.

    An id of the host's own goes with those alone: all else that is asked of another tenant's
    session has the very same answer as an unknown one's.
    """
    quota: Quota | None = g.get("wsgi_app_quota")
    if quota is not None:
        response.headers.update(quota.headers())
    if quota is not None or "X-Request-Id" in request.headers:
        response.headers.setdefault("X-Request-Id", current_request_id())
    return response


def _begin(mount: Mount, key: SessionKey, wanted: TurnRequest) -> BegunTurn:
    order = TurnOrder(
        message=wanted.message,
        metadata=wanted.metadata,
        on_disconnect=wanted.on_disconnect,
        history=wanted.history,
        ephemeral=wanted.ephemeral,
        passing=wanted.passing,
        regenerates=wanted.regenerates,
        request_id=current_request_id(),
        agent=wanted.agent,
        orphan_seconds=wanted.orphan_seconds,
        app_context=mount.app_context,
        context=mount.agent_context(),
    )
    claim = BeginTurn(
        key=key,
        run_id=mount.runner.new_run_id(),
        worker_id=mount.runner.worker_id,
        message=wanted.message,
        if_busy=wanted.if_busy,
        regenerates=wanted.regenerates,
        idempotency_key=wanted.idempotency_key,
        request_digest=wanted.digest,
        rate=mount.start_rate,
    )
    return mount.runner.begin(claim, order)
