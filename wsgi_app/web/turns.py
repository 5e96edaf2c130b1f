"""From a wire's request to a turn and its reader: the one entrance for all wires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

from flask import Response, g, request
from msgspec import Struct, structs

from wsgi_app.delivery.polling import WAIT_SECONDS, await_answer
from wsgi_app.delivery.reader import Reader, ReaderGone
from wsgi_app.delivery.slots import Slot
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.run import BegunTurn, TurnRun
from wsgi_app.events import Cancelled, Cursor, Done, Error, EventId, InputRequest, NumberedEvent
from wsgi_app.limits import Quota
from wsgi_app.store.base import SessionKey
from wsgi_app.store.refusals import TooManyStarts
from wsgi_app.web.access import demand
from wsgi_app.web.current import count_resume, current_request_id
from wsgi_app.web.kept_inside import forget_inside, keep_inside
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import message_too_long

#: How long a repeated request waits for what may follow an answer that was just given.
REPLAY_PATIENCE_SECONDS = 0.5


class OpenTurn(Struct, eq=False):
    """A turn that was begun or attached to, and its reader; used by the request's thread.

    As a context it closes itself on failure; else its stream or its outcome is the answer.
    """

    mount: Mount
    key: SessionKey
    turn: int
    reader: Reader
    #: Here, if this request began it.
    run: Optional[TurnRun]

    @property
    def is_new(self) -> bool:
        """Whether this request has begun the turn."""
        return self.run is not None

    def __enter__(self) -> OpenTurn:  # noqa: PYI034 - nobody derives from it
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.close()

    def start(self) -> None:
        """Let the turn run; may be called again."""
        if self.run is not None:
            self.run.start()

    def wait(self) -> Done | Error | Cancelled | InputRequest | None:
        """Run the turn and wait for its end, or for a question; closes the reader."""
        self.start()
        self.mount.release_resources()
        try:
            return await_answer(
                self.reader,
                lambda request_id: self.mount.runner.is_asked(self.key, self.turn, request_id),
                0 if self.is_new else REPLAY_PATIENCE_SECONDS,
            )
        except ReaderGone:
            # This answer is not read; it says how the turn ends.
            return Cancelled("disconnected")
        finally:
            self.reader.close()

    def read(self, add: Callable[[NumberedEvent], object]) -> bool:
        """Run the turn and pass its events to ``add`` until the reader ends; closes it.

        False if the client has hung up, and reads no answer. Raises RequestError.
        """
        self.start()
        self.mount.release_resources()
        try:
            while not self.reader.ended:
                for numbered in self.reader.read(WAIT_SECONDS):
                    add(numbered)
        except ReaderGone:
            return False
        finally:
            self.reader.close()
        return True

    def close(self) -> None:
        """Close the reader; a turn that was begun still runs."""
        self.reader.close()
        self.start()


def open_turn(
    mount: Mount, key: SessionKey, wanted: TurnRequest, cursor: Cursor | None = None
) -> OpenTurn:
    """Begin the turn, or attach to the one that its idempotency key has begun.

    ``cursor``: where the reader stands if it attaches, and if that is of this turn. Raises
    RequestError; nothing was begun then.
    """
    if wanted.if_busy == "interrupt" or len(wanted.message) > mount.settings.max_message_chars:
        _check(mount, wanted)

    def open_reader(slot: Slot) -> OpenTurn:
        begun = _begin(mount, key, wanted)
        start = Cursor(EventId(begun.turn, 0))
        if begun.run is None:
            slot.follow()
            if cursor is not None and cursor.position.turn == begun.turn:
                start = cursor
        return _opened(mount, key, begun, start, slot, only_turn=begun.turn)

    return mount.attach((key,), open_reader, streams=wanted.streams, starts=True)


def attach_turn(  # noqa: PLR0913 - where to read, and how, by name
    mount: Mount,
    key: SessionKey,
    turn: int,
    after_seq: int = 0,
    *,
    mark: str = "",
    streams: bool = True,
) -> OpenTurn:
    """Read a turn that is there already, for a stream or as a whole; raises RequestError.

    ``mark``: of the run that ``after_seq`` is of, where the reader knows it.
    """
    begun, start = BegunTurn(turn, None), Cursor(EventId(turn, after_seq), mark)
    return mount.attach(
        (key,),
        lambda slot: _opened(mount, key, begun, start, slot, only_turn=turn),
        streams=streams,
    )


def attach_behind(
    mount: Mount, key: SessionKey, find: Callable[[], EventId], *, streams: bool = True
) -> OpenTurn:
    """Read a turn from the event that ``find`` returns, once there is room for its reader."""

    def open_reader(slot: Slot) -> OpenTurn:
        event_id = find()
        start = Cursor(EventId(event_id.turn, event_id.seq - 1))
        begun = BegunTurn(event_id.turn, None)
        return _opened(mount, key, begun, start, slot, only_turn=event_id.turn)

    return mount.attach((key,), open_reader, streams=streams)


def follow_session(mount: Mount, key: SessionKey, newest_turn: int, start: Cursor) -> OpenTurn:
    """Read a session's turns behind a cursor, to the end of the newest; raises RequestError."""
    begun = BegunTurn(newest_turn, None)
    return mount.attach(
        (key,), lambda slot: _opened(mount, key, begun, start, slot, only_turn=None), streams=True
    )


def begin_turn(mount: Mount, key: SessionKey, wanted: TurnRequest) -> BegunTurn:
    """Begin the turn, or find the one to attach to; it runs once it is started."""
    _check(mount, wanted)
    mount.check_draining()
    return _begin(mount, key, wanted)


def _check(mount: Mount, wanted: TurnRequest) -> None:
    if len(wanted.message) > mount.settings.max_message_chars:
        raise message_too_long(mount.settings.max_message_chars)
    if wanted.if_busy == "interrupt":
        demand("cancel")


def _opened(  # noqa: PLR0913 - the parts of a reader, the last by name
    mount: Mount,
    key: SessionKey,
    begun: BegunTurn,
    start: Cursor,
    slot: Slot,
    *,
    only_turn: int | None,
) -> OpenTurn:
    reader = mount.open_reader(key, start, only_turn, slot, begun.run)
    if start.position.seq:
        count_resume(start)
    return OpenTurn(mount, key, begun.turn, reader, begun.run)


def _begin(mount: Mount, key: SessionKey, wanted: TurnRequest) -> BegunTurn:
    kept = keep_inside(mount, key, wanted) if wanted.attachments else wanted
    request = structs.replace(
        kept,
        request_id=current_request_id(),
        app_context=mount.app_context,
        context=mount.agent_context(),
    )
    begun = None
    try:
        begun = mount.worker.runner.begin(key, request, mount.start_rate)
    except TooManyStarts as error:
        g.wsgi_app_quota = quota = Quota(error.starts, mount.start_rate)
        raise quota.refusal() from None
    finally:
        if begun is None or begun.run is None:
            forget_inside(mount, key, kept, wanted)
    if begun.starts is not None:
        g.wsgi_app_quota = Quota(begun.starts, mount.start_rate)
    return begun


def add_headers(response: Response) -> None:
    """Send the request's id; to the client that started a turn, or was refused one, its limit too.

    An id of the host's own goes with those alone: all else that is asked of another tenant's
    session has the very same answer as an unknown one's.
    """
    quota: Quota | None = g.get("wsgi_app_quota")
    if quota is not None:
        response.headers.update(quota.headers())
    if quota is not None or "X-Request-Id" in request.headers:
        known = g.get("wsgi_app_request_id") or current_request_id()
        response.headers.setdefault("X-Request-Id", known)
