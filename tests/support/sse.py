"""A strict client of event streams that sees what libraries hide.

It tells a clean end (the final zero chunk) from a cut, notes when each frame arrived, can stop
reading, and hangs up in either way a client can. It fails on anything the project's streams promise
not to contain: CR, a block without data, more than one data line, a comment with an empty line
behind it, unknown fields.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import h11

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own is missing in Python 3.10

READ_SECONDS = 15.0


class StreamCutError(Exception):
    """The connection closed before the body's end."""


@dataclass(frozen=True)
class Comment:
    """A comment line, without its colon and the blank behind it."""

    text: str
    at: float


@dataclass(frozen=True)
class Frame:
    """One event: its lines' values (None where the line is missing) and its time of arrival."""

    id: str | None
    event: str | None
    text: str
    retry: int | None
    at: float

    @property
    def data(self) -> Any:
        """The data line, decoded from JSON."""
        return json.loads(self.text)


@dataclass
class FrameParser:
    """Bytes of a stream into frames and comments, strictly. ``at`` is on the caller's clock."""

    comments: list[Comment] = field(default_factory=list)
    _rest: bytes = b""
    _block: dict[str, str] = field(default_factory=dict)
    _after_comment: bool = False

    def feed(self, data: bytes, at: float) -> list[Frame]:
        """Return the frames that ``data`` completes; raises AssertionError for a breach."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        frames = [self._line(line.decode(), at) for line in lines]
        return [frame for frame in frames if frame is not None]

    def finish(self) -> None:
        """Check that the stream did not end inside a frame or a line."""
        assert not self._rest, f"the stream ended inside the line {self._rest!r}"
        assert not self._block, f"the stream ended inside the block {self._block}"

    def _line(self, line: str, at: float) -> Frame | None:
        assert "\r" not in line, f"a line with CR: {line!r}"
        if not line:
            return self._end_of_block(at)
        self._after_comment = line.startswith(":")
        if self._after_comment:
            self.comments.append(Comment(line[1:].removeprefix(" "), at))
            return None
        name, _, value = line.partition(": ")
        # Without data a block of MCP names a place alone; on other wires nothing could decode it.
        assert value or line == "data: ", f"a field without a value: {line!r}"
        assert name in {"id", "event", "data", "retry"}, f"an unknown field: {line!r}"
        assert name not in self._block, f"a second {name} line in one block: {line!r}"
        self._block[name] = value
        return None

    def _end_of_block(self, at: float) -> Frame:
        assert not self._after_comment, "an empty line behind a comment"
        block, self._block = self._block, {}
        assert "data" in block, f"a block without data: {block}"
        retry = int(block["retry"]) if "retry" in block else None
        return Frame(block.get("id"), block.get("event"), block["data"], retry, at)


class Stream:
    """One request and its answer, frame by frame. Used by one thread.

    ``ended`` says how the answer ended: None while it goes on, "clean" with the protocol's own end,
    "cut" without it.
    """

    def __init__(self, connection: socket.socket, http: h11.Connection, seconds: float) -> None:
        self.seconds = seconds
        self.ended: Literal["clean", "cut"] | None = None
        self._socket = connection
        self._http = http
        self._parser = FrameParser()
        self._frames: deque[Frame] = deque()
        head = self._next_http_event(time.monotonic() + seconds)
        assert isinstance(head, h11.Response), f"no answer but {head!r}"
        self.status = head.status_code
        self.headers = {name.decode(): value.decode() for name, value in head.headers}

    @property
    def comments(self) -> list[Comment]:
        """The comments read so far; ``next`` and iteration read them on the way to a frame."""
        return self._parser.comments

    def next(self, seconds: float | None = None) -> Frame | None:
        """The next frame, or None at a clean end.

        Raises StreamCutError at a cut, TimeoutError when ``seconds`` pass without a frame (after
        which reading may go on).
        """
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        self._check_is_stream(deadline)
        while not self._frames:
            data = self._read(deadline)
            if data is None:
                self._parser.finish()
                return None
            self._frames.extend(self._parser.feed(data, time.monotonic()))
        return self._frames.popleft()

    def __iter__(self) -> Iterator[Frame]:
        """Frames up to a clean end; each has ``seconds`` to arrive. Raises as ``next`` does."""
        while (frame := self.next()) is not None:
            yield frame

    def until(self, kind: str) -> list[Frame]:
        """The frames up to and with the next one whose data has this ``type``."""
        frames: list[Frame] = []
        for frame in self:
            frames.append(frame)
            if frame.data["type"] == kind:
                return frames
        raise AssertionError(f"the stream ended without {kind!r}: {[one.text for one in frames]}")

    def wait_comments(self, count: int, seconds: float | None = None) -> list[Comment]:
        """Wait until ``count`` comments have arrived; frames that come meanwhile are kept."""
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        self._check_is_stream(deadline)
        while len(self.comments) < count:
            data = self._read(deadline)
            assert data is not None, f"the stream ended with only {len(self.comments)} comments"
            self._frames.extend(self._parser.feed(data, time.monotonic()))
        return self.comments

    def body(self) -> bytes:
        """The rest of the answer as bytes, up to its clean end."""
        deadline = time.monotonic() + self.seconds
        body = b""
        while (data := self._read(deadline)) is not None:
            body += data
        return body

    def json(self) -> Any:
        """The whole answer, decoded from JSON."""
        return json.loads(self.body())

    def close(self) -> None:
        """Close the connection as a client does that goes away in good order (FIN)."""
        self._socket.close()

    def abort(self) -> None:
        """Break the connection off (RST), as a crashed client or a lost network would."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_is_stream(self, deadline: float) -> None:
        kind = self.headers.get("content-type")
        if self.status != 200 or kind != "text/event-stream; charset=utf-8":
            rest = self._read(deadline)
            raise AssertionError(f"not a stream but {self.status} {kind}: {rest!r}")

    def _read(self, deadline: float) -> bytes | None:
        """More of the body, or None at its clean end."""
        if self.ended == "clean":
            return None
        event = self._next_http_event(deadline)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), f"not a body but {event!r}"
        self.ended = "clean"
        return None

    def _next_http_event(self, deadline: float) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    data = self._socket.recv(65_536)
                except socket.timeout as error:  # TimeoutError itself from Python 3.10 on
                    raise TimeoutError from error
                self._http.receive_data(data)
        except (h11.RemoteProtocolError, ConnectionError) as error:
            self.ended = "cut"
            raise StreamCutError(str(error)) from error
        return event


def open_stream(  # noqa: PLR0913 - each is a part of the request, by keyword
    method: str,
    url: str,
    *,
    json: object = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = READ_SECONDS,
    receive_buffer_bytes: int | None = None,
) -> Stream:
    """Send a request and return when the head of its answer is there, whatever its status.

    ``seconds`` bounds each wait, for the head and for every frame. A small ``receive_buffer_bytes``
    makes a reader that stops reading felt by the server sooner. Raises StreamCutError if the server
    closes without an answer, TimeoutError, OSError.
    """
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    body = b"" if json is None else _dump(json)
    fields = {"Host": parts.netloc, "Accept": "text/event-stream", "Content-Length": str(len(body))}
    fields |= {} if json is None else {"Content-Type": "application/json"}
    connection = _connect(parts.hostname or "", parts.port or 80, seconds, receive_buffer_bytes)
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method=method, target=target, headers=list({**fields, **(headers or {})}.items())
    )
    try:
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            connection.sendall(http.send(event) or b"")
        return Stream(connection, http, seconds)
    except BaseException:
        connection.close()
        raise


def text_of(frames: list[Frame]) -> str:
    """The native wire's tokens, joined."""
    return "".join(frame.data["content"] for frame in frames if frame.data["type"] == "token")


def _connect(
    host: str, port: int, seconds: float, receive_buffer_bytes: int | None
) -> socket.socket:
    connection = socket.socket()
    if receive_buffer_bytes is not None:  # only counts when set before the handshake
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.settimeout(seconds)
    try:
        connection.connect((host, port))
    except BaseException:
        connection.close()
        raise
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
