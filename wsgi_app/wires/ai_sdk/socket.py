"""The AI SDK's transport over a WebSocket: one chat's requests, each a stream with its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from flask import Response, request

from wsgi_app.delivery.feed import Feed
from wsgi_app.engine.turn.event_log import Wakeup
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.events import EventId, NumberedEvent, encode_json
from wsgi_app.frames.merge import merge_backlog
from wsgi_app.metrics import metrics
from wsgi_app.store.base import SessionKey
from wsgi_app.web.access import demand
from wsgi_app.web.current import session_key
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, decode_json, invalid
from wsgi_app.web.refuse import count_refused
from wsgi_app.web.sockets import LOOK_SECONDS, TRY_AGAIN_LATER, serve_socket
from wsgi_app.web.turns import begin_turn
from wsgi_app.wires.ai_sdk import encode as ai_sdk
from wsgi_app.wires.ai_sdk.request import (
    AbortFrame,
    AiSdkChatBody,
    Answer,
    Continuation,
    Frame,
    ResumeFrame,
    SendFrame,
    read_request,
)
from wsgi_app.wires.ai_sdk.turns import explained, find_answer, turn_request
from wsgi_app.wires.shared.questions import UntilQuestion

if TYPE_CHECKING:
    from wsgi_app.delivery.websocket import EventSocket

#: Streams of one connection at a time.
MAX_STREAMS: Final = 8


def ai_sdk_socket(mount: Mount, session_id: str) -> Response:
    """WS /ai-sdk/chat/<session_id>/socket: a chat over one connection."""
    key = session_key(check_session_id(session_id))
    return serve_socket(mount, key, lambda client, wakeup: _Chat(mount, key, client, wakeup))


class _Finish:
    """Notes that a stream ends at a question; stands for its reader."""

    def __init__(self) -> None:
        self.finished = False

    def finish(self) -> None:
        """See `Reader.finish`."""
        self.finished = True


class _Stream(NamedTuple):
    """A request's stream."""

    turn: int
    feed: Feed
    encode: UntilQuestion
    end: _Finish


class _Chat:
    """One connection's streams; used by its request's thread."""

    def __init__(self, mount: Mount, key: SessionKey, client: EventSocket, wakeup: Wakeup) -> None:
        self._mount = mount
        self._key = key
        self._client = client
        self._wakeup = wakeup
        self._streams: dict[str, _Stream] = {}
        self._sequences: dict[str, int] = {}
        prefix = request.path.partition("/ai-sdk/")[0]
        self._files_url = f"{request.script_root}{prefix}/files"

    def run(self) -> None:
        """See `Conversation.run`."""
        while True:
            for text in self._client.receive():
                self._take(text)
            if self._mount.draining and not self._streams:
                self._client.end(TRY_AGAIN_LATER, "this worker is about to leave")
                return
            sent = [self._send(name) for name in list(self._streams)]  # each of them
            if not any(sent):
                self._wakeup.wait(LOOK_SECONDS)

    def count_leaving(self) -> None:
        """See `Conversation.count_leaving`."""
        if self._streams:
            metrics(self._mount.settings.host).disconnects.labels("hang_up").inc()

    def close(self) -> None:
        """See `Conversation.close`."""
        for name in list(self._streams):
            self._drop(name)

    # -- what comes

    def _take(self, text: str | bytes) -> None:
        name = ""
        try:
            frame = decode_json(text, Frame)
            name = frame.request_id
            self._act(frame)
        except AgentHostError as error:
            self._refuse(name, error)

    def _act(self, frame: Frame) -> None:
        if isinstance(frame, AbortFrame):
            demand("cancel")
            stream = self._streams.get(frame.request_id)
            if stream is not None:
                self._mount.cancel(self._key, stream.turn)
            return
        if frame.id != self._key.session_id:
            raise invalid("id", "Expected the chat that the connection is for")
        if frame.request_id in self._streams or len(self._streams) >= MAX_STREAMS:
            raise invalid("requestId", f"Expected a new one, of at most {MAX_STREAMS} at a time")
        if isinstance(frame, ResumeFrame):
            self._resume(frame)
        else:
            demand("chat")
            self._submit(frame)

    def _submit(self, frame: SendFrame) -> None:
        given = {"metadata": frame.metadata} if isinstance(frame.metadata, dict) else {}
        named = {"id": frame.id, "messages": frame.messages, "trigger": frame.trigger}
        sent = {**given, **frame.body, **named, "messageId": frame.message_id}
        body: AiSdkChatBody = decode_json(encode_json(sent), AiSdkChatBody)
        try:
            wanted = read_request(body)
        except ValueError as error:
            raise invalid("messages", str(error)) from None
        if isinstance(wanted, Continuation):
            self._mount.check_draining()
            turn, answer = find_answer(self._mount, self._key, wanted)
            self._open(frame.request_id, turn, answer=answer)
            return
        asked = turn_request(self._mount, self._key, wanted, body)
        try:
            begun = begin_turn(self._mount, self._key, asked)
        except RequestError as error:
            raise explained(self._mount, self._key, error) from None
        self._open(frame.request_id, begun.turn, begun.run)
        if begun.run is not None:
            begun.run.start()

    def _resume(self, frame: ResumeFrame) -> None:
        view = self._mount.store.state_of(self._key)
        if view is None or not view.active_turns:
            self._put("no-active", frame.request_id)
            return
        self._open(frame.request_id, view.active_turns[0])

    def _refuse(self, name: str, error: AgentHostError) -> None:
        count_refused(error.code)
        self._put("error", name, errorText=error.message)

    # -- what goes

    def _open(
        self, name: str, turn: int, run: TurnRun | None = None, answer: Answer | None = None
    ) -> None:
        event_id, runner = EventId(turn, 0), self._mount.runner
        feed = Feed(runner, self._key, event_id, turn, run=run, wakeup=self._wakeup)
        answered = None if answer is None else answer.request_id
        stream = ai_sdk.MessageStream(
            ai_sdk.message_id(self._key.session_id, turn),
            after_question=answered,
            answer=None if answer is None else answer.value,
            files_url=self._files_url,
        )
        end = _Finish()
        encode = UntilQuestion(self._mount, self._key, stream, end, answered)
        self._streams[name] = _Stream(turn, feed, encode, end)
        self._sequences[name] = 0
        self._put("start", name)

    def _send(self, name: str) -> bool:
        """Send what a stream has; whether that was anything."""
        stream = self._streams[name]
        try:
            events = merge_backlog(stream.feed.read(0))
        except RequestError as error:
            self._drop(name)
            self._refuse(name, error)
            return True
        for numbered in events:
            self._send_chunks(name, stream, numbered)
        if stream.end.finished or stream.feed.ended:
            self._drop(name)
            self._put("end", name)
            return True
        return bool(events)

    def _send_chunks(self, name: str, stream: _Stream, numbered: NumberedEvent) -> None:
        for frame in stream.encode(numbered).split(b"\n\n"):
            chunk = frame.partition(b"data: ")[2]
            if chunk.startswith(b"{"):  # the end has a frame of its own
                number = self._sequences[name] = self._sequences[name] + 1
                self._put("chunk", name, sequence=number - 1, chunk=msgspec.Raw(chunk))

    def _drop(self, name: str) -> None:
        self._streams.pop(name).feed.close()
        del self._sequences[name]

    def _put(self, kind: str, name: str, **fields: Any) -> None:
        self._client.send(encode_json({"type": kind, "requestId": name, **fields}).decode())
