"""The WebSocket: turns started, followed, answered and cancelled over one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request
from msgspec import UNSET

from wsgi_app.delivery.feed import Feed
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.events import Cursor, Error, EventId, encode_json
from wsgi_app.frames.merge import merge_backlog
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey
from wsgi_app.web.access import demand
from wsgi_app.web.attached import attached
from wsgi_app.web.current import count_resume, session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, decode_json, invalid
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.sockets import LOOK_SECONDS, TRY_AGAIN_LATER, serve_socket
from wsgi_app.web.steer import begin_or_steer, new_steer_id, steer_turn
from wsgi_app.web.turns import begin_turn
from wsgi_app.wires.native.encode import with_id
from wsgi_app.wires.native.options import wants_marks
from wsgi_app.wires.native.request import (
    CancelFrame,
    Frame,
    InputFrame,
    MessageFrame,
    ResumeFrame,
    SteerFrame,
    ToolResultFrame,
)
from wsgi_app.wires.native.tools import give_results, offered

if TYPE_CHECKING:
    from wsgi_app.delivery.websocket import EventSocket


def websocket(mount: Mount, session_id: str) -> Response:
    """WS /ws/chat/<session_id>: the native events, both ways on one connection."""
    key = session_key(check_session_id(session_id))
    return serve_socket(mount, key, lambda client, wakeup: _Chat(mount, key, client, wakeup))


class _Chat:
    """One connection's conversation; used by its request's thread."""

    def __init__(self, mount: Mount, key: SessionKey, client: EventSocket, wakeup: Wakeup) -> None:
        self._mount = mount
        self._key = key
        self._client = client
        self._wakeup = wakeup
        self._feed: Feed | None = None
        self._marks = wants_marks(request)

    def run(self) -> None:
        """Serve the client; raises ReaderGone when it has left or was sent away."""
        while True:
            for text in self._client.receive():
                self._take(text)
            if self._mount.draining and self._feed is None:
                self._client.end(TRY_AGAIN_LATER, "this worker is about to leave")
                return
            if self._feed is None:
                self._wakeup.wait(LOOK_SECONDS)
            else:
                self._send_events(self._feed)

    def count_leaving(self) -> None:
        """Count a client that has left in the middle of a turn."""
        if self._feed is not None and not self._feed.complete:
            metrics(self._mount.settings.host).disconnects.labels("hang_up").inc()

    def close(self) -> None:
        """Stop counting as a reader."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def _send_events(self, feed: Feed) -> None:
        try:
            events = feed.read(LOOK_SECONDS)  # a message of the client's ends the wait, too
        except RequestError as error:
            self.close()
            if error.code == "draining":
                return  # another worker's turn: the client finds it there
            self._refuse(error)
            return
        for numbered in merge_backlog(events):
            self._client.send(encode_json(with_id(numbered, marks=self._marks)).decode())
        if feed.ended:
            self.close()

    def _take(self, text: str | bytes) -> None:
        try:
            self._act(decode_json(text, Frame))
        except AgentHostError as error:
            self._refuse(error)

    def _act(self, frame: Frame) -> None:
        if isinstance(frame, MessageFrame):
            demand("chat")
            self._start(frame)
        elif isinstance(frame, SteerFrame):
            demand("chat")
            self._steer(frame.content)
        elif isinstance(frame, CancelFrame):
            demand("cancel")
            turn = None if frame.turn_id is UNSET else int(frame.turn_id)
            self._mount.cancel(self._key, turn)
        elif isinstance(frame, InputFrame):
            demand("chat")
            value = encode_json(frame.value)
            self._mount.store.post_input(self._key, frame.request_id, value)
        elif isinstance(frame, ToolResultFrame):
            demand("chat")
            give_results(self._mount, self._key, frame.request_id, frame.results)
        else:
            self._resume(frame)

    def _start(self, frame: MessageFrame) -> None:
        wanted = TurnRequest(
            message=frame.content,
            metadata=frame.metadata,
            on_disconnect=frame.on_disconnect,
            if_busy="reject" if frame.if_busy == "steer" else frame.if_busy,
            client_tools=offered(self._mount, frame.tools),
            attachments=attached(self._mount, self._key, frame.files, invalid),
        )
        if frame.if_busy == "steer":
            begin_or_steer(
                *(self._mount, self._key),
                lambda: self._begin(wanted),
                lambda: self._steer(frame.content),
            )
        else:
            self._begin(wanted)

    def _begin(self, wanted: TurnRequest) -> None:
        begun = begin_turn(self._mount, self._key, wanted)
        if self._feed is None:
            # Else the feed continues to this turn by itself.
            self._follow(Cursor(EventId(begun.turn, 0)), begun.run)
        if begun.run is not None:
            begun.run.start()

    def _steer(self, message: str) -> None:
        event_id = steer_turn(self._mount, self._key, new_steer_id(None), message)
        if self._feed is None:
            self._follow(Cursor(EventId(event_id.turn, event_id.seq - 1)))

    def _resume(self, frame: ResumeFrame) -> None:
        try:
            cursor = Cursor.parse(frame.last_event_id) if frame.last_event_id else None
        except ValueError:
            reason = {"field": "last_event_id", "reason": "Expected an event id, <turn>-<seq>"}
            raise RequestError("invalid_request", "The cursor is no id.", reason) from None
        view = self._mount.store.state_of(self._key)
        if view is None:
            return
        if cursor is None:
            if not view.active_turns:
                return
            cursor = Cursor(EventId(view.active_turns[0], 0))
        self._follow(cursor)
        count_resume(cursor)

    def _follow(self, cursor: Cursor, run: TurnRun | None = None) -> None:
        self.close()
        position, mark = cursor
        runner, wakeup = self._mount.runner, self._wakeup
        self._feed = Feed(runner, self._key, position, run=run, wakeup=wakeup, mark=mark)

    def _refuse(self, error: AgentHostError) -> None:
        count_refused(error.code)
        event = Error(error.code, error.message, error.details)
        self._client.send(encode_json(event).decode())
