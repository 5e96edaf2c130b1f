"""Responses over a WebSocket: one after the other, each continuing the one before if it likes.

What is said is what Open Responses has under "WebSocket Transport": the client sends
``response.create``, the host the events of a stream. A response that is not stored can be gone on
with on its own connection alone, which remembers the newest one.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Optional

import msgspec
from flask import Response

from wsgi_app.delivery.feed import Feed
from wsgi_app.delivery.reader import ReaderGone
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.run import BegunTurn
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.events import EventId, encode_json
from wsgi_app.frames.merge import merge_backlog
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey
from wsgi_app.web.access import demand
from wsgi_app.web.client_tools import takes_steering
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import error_status
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import decode_json
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.sockets import LOOK_SECONDS, TRY_AGAIN_LATER, serve_socket
from wsgi_app.web.turns import begin_turn
from wsgi_app.wires.openai.encode.errors import STATUSES, error_object
from wsgi_app.wires.openai.encode.items import Item, StreamEvent
from wsgi_app.wires.openai.encode.responses import ResponseBuilder
from wsgi_app.wires.openai.ids import ResponseRef
from wsgi_app.wires.openai.request.responses import CreateFrame, ResponseBody
from wsgi_app.wires.openai.routes.opening import PASSING, Asking, open_response, unknown_previous
from wsgi_app.wires.openai.routes.responses import new_builder, new_ref
from wsgi_app.wires.openai.routes.steering import SteeredResponses

if TYPE_CHECKING:
    from wsgi_app.delivery.websocket import EventSocket

#: How long a connection may last, by the specification.
MAX_SECONDS: Final = 3600.0
#: Requests that wait while a response runs; the socket's own buffer holds a hundred more.
MAX_WAITING: Final = 16


def responses_socket(mount: Mount) -> Response:
    """WS /v1/responses: responses one after the other, over one connection."""
    key = session_key(PASSING)  # all connections of a tenant count as readers of one session
    return serve_socket(mount, key, lambda client, wakeup: _Responses(mount, client, wakeup))


class _Remembered(NamedTuple):
    """The newest response that is not stored: all that was said up to its end."""

    id: str
    items: list[Item]


class _Turn(NamedTuple):
    """A turn that is read over the socket."""

    key: SessionKey
    begun: BegunTurn
    feed: Feed

    @property
    def turn(self) -> int:
        """See `Opened`."""
        return self.begun.turn

    def close(self) -> None:
        """See `Opened`."""
        self.feed.close()
        self.start()

    def start(self) -> None:
        """Let the turn run; once is enough."""
        if self.begun.run is not None:
            self.begun.run.start()


class _SocketAsking(Asking[_Turn]):
    """A request of a connection."""

    def __init__(self, mount: Mount, wakeup: Wakeup, text: bytes) -> None:
        self._mount = mount
        self._wakeup = wakeup
        self.digest = hashlib.sha256(text).hexdigest()

    def open(self, key: SessionKey, wanted: TurnRequest) -> _Turn:
        """See `Asking.open`."""
        return self._read(key, begin_turn(self._mount, key, wanted))

    def attach(self, key: SessionKey, turn: int) -> _Turn:
        """See `Asking.attach`."""
        return self._read(key, BegunTurn(turn, None))

    def _read(self, key: SessionKey, begun: BegunTurn) -> _Turn:
        event_id = EventId(begun.turn, 0)
        runner, wakeup = self._mount.runner, self._wakeup
        feed = Feed(runner, key, event_id, begun.turn, run=begun.run, wakeup=wakeup)
        return _Turn(key, begun, feed)


class _Responses:
    """One connection's responses; used by its request's thread."""

    def __init__(self, mount: Mount, client: EventSocket, wakeup: Wakeup) -> None:
        self._mount = mount
        self._client = client
        self._wakeup = wakeup
        self._waiting: deque[str | bytes] = deque()
        self._steering = SteeredResponses(mount)
        self._remembered: Optional[_Remembered] = None
        self._runs = False
        self._ends_at = time.monotonic() + MAX_SECONDS

    def run(self) -> None:
        """See `Conversation.run`."""
        while True:
            self._receive()
            self._send_all(self._steering.serve(None, None))
            if self._waiting:
                self._take(self._waiting.popleft())
            elif self._mount.draining:
                self._client.end(TRY_AGAIN_LATER, "this worker is about to leave")
                return
            elif time.monotonic() >= self._ends_at:
                self._send_error(_too_old())
                return
            else:
                self._wakeup.wait(LOOK_SECONDS)

    def count_leaving(self) -> None:
        """See `Conversation.count_leaving`."""
        if self._runs:
            metrics(self._mount.settings.host).disconnects.labels("hang_up").inc()

    def close(self) -> None:
        """See `Conversation.close`: each response has closed its own feed."""

    def _receive(self) -> None:
        if len(self._waiting) < MAX_WAITING:
            came = self._client.receive()
            self._waiting.extend(text for text in came if not self._steering.take(text))

    def _take(self, text: str | bytes) -> None:
        """Serve one request; raises ReaderGone."""
        previous = None
        try:
            demand("chat")
            body = decode_json(text, CreateFrame)
            previous = body.previous_response_id
            self._serve(body, text.encode() if isinstance(text, str) else text)
        except AgentHostError as error:
            if self._remembered is not None and previous == self._remembered.id:
                self._remembered = None  # by the specification, after a failed continuation
            self._send_error(error)

    def _serve(self, body: CreateFrame, text: bytes) -> None:
        builder_body, items = self._with_remembered(body)
        asking = _SocketAsking(self._mount, self._wakeup, text)
        opened, after_seq = open_response(self._mount, builder_body, asking)
        self._runs = True
        try:
            ref = new_ref(body, opened, after_seq, steered=takes_steering(self._mount))
            opened.start()
            ref, builder = self._stream(body, ref, opened)
        finally:
            opened.close()
        self._runs = False
        self._remember(body, ref, builder, items)

    def _with_remembered(self, body: CreateFrame) -> tuple[ResponseBody, list[Item]]:
        """The request with all that was said before it, if this connection alone knows that."""
        new = body.input
        items: list[Item] = [{"role": "user", "content": new}] if isinstance(new, str) else new
        previous = body.previous_response_id
        if previous is None:
            return body, items
        if self._remembered is not None and previous == self._remembered.id:
            whole = [*self._remembered.items, *items]
            return msgspec.structs.replace(body, input=whole, previous_response_id=None), whole
        if _is_passing(previous):
            raise unknown_previous()
        return body, items

    def _remember(
        self, body: ResponseBody, ref: ResponseRef, builder: ResponseBuilder, items: list[Item]
    ) -> None:
        if body.store is not False:
            return
        whole = [*items, *builder.document()["output"]]
        fits = len(encode_json(whole)) <= self._mount.settings.max_history_bytes
        self._remembered = _Remembered(ref.id, whole) if fits else None

    def _stream(
        self, body: ResponseBody, ref: ResponseRef, opened: _Turn
    ) -> tuple[ResponseRef, ResponseBuilder]:
        """Send a response, and those that follow it by steering; returns the last one."""
        builder, feed = new_builder(self._mount, body, ref), opened.feed
        self._send(builder.opening())
        while not (builder.ended or feed.ended):
            self._receive()  # also to learn that the client has gone
            self._send_all(self._steering.serve(opened.key, builder))
            for numbered in merge_backlog(feed.read(LOOK_SECONDS)):
                self._send(builder.take(numbered))
                self._send_all(self._steering.note(numbered.event, builder))
                if builder.was_steered:
                    previous, seq = ref, builder.seq
                    ref = ref._replace(after_seq=seq, created_at=int(time.time()))
                    builder = new_builder(self._mount, body, ref, previous)
                    builder.seq = seq
                    self._send(builder.opening())
        if not builder.ended:
            raise ReaderGone  # cut off: what is missing can be read by HTTP
        self._send_all(self._steering.pending(builder))
        return ref, builder

    def _send_all(self, events: list[bytes]) -> None:
        for event in events:
            self._client.send(event.decode())

    def _send(self, events: list[StreamEvent]) -> None:
        for event in events:
            self._client.send(event.json().decode())

    def _send_error(self, error: AgentHostError) -> None:
        count_refused(error.code)
        status = STATUSES.get(error.code, error_status(error))
        fault: dict[str, Any] = error_object(error.code, error.message, error.details, status)
        self._client.send(encode_json({"type": "error", "status": status, **fault}).decode())


def _is_passing(response_id: str) -> bool:
    """Whether a response is one that is not stored."""
    try:
        return ResponseRef.parse(response_id).session_id.startswith(f"{PASSING}-")
    except ValueError:
        return False


def _too_old() -> RequestError:
    message = "This connection has lasted an hour; open a new one."
    return RequestError("websocket_connection_limit_reached", message)
