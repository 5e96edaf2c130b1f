"""Server-sent events, as the model provider writes them, from bytes cut anywhere."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsgi_app.agents.upstream_errors import malformed_answer

#: Longest line and longest event: far above any real one, far below what would hurt a worker. The
#: Responses API repeats the whole answer in its last event, and the tools and the system prompt.
MAX_EVENT_BYTES: Final = 4_194_304

_BOM: Final = b"\xef\xbb\xbf"


class SseMessage(NamedTuple):
    """One event: its name, empty if it has none, and its data lines joined by LF."""

    event: bytes
    data: bytes


class SseReader:
    """Collects bytes and gives the events that they complete.

    Lines may end in LF or CRLF; comments and fields other than ``event`` and ``data`` are skipped.
    Used by one stream alone. Holds at most ``2 * max_bytes`` and the piece just fed.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._event = b""
        self._data = bytearray()
        self._at_start = True

    def feed(self, piece: bytes) -> list[SseMessage]:
        """Take the next bytes; raises UpstreamError for a line or an event that is too long."""
        buffer = self._buffer
        scan_from = len(buffer)
        buffer += piece
        messages: list[SseMessage] = []
        start = 0
        while (end := buffer.find(b"\n", scan_from)) >= 0:
            message = self._take_line(bytes(buffer[start:end]))
            if message is not None:
                messages.append(message)
            start = scan_from = end + 1
        del buffer[:start]
        self._check_size(len(buffer))
        return messages

    def close(self) -> list[SseMessage]:
        """Take the end of the stream as the end of the last event, whose empty line may miss."""
        return self.feed(b"\n\n")

    def _take_line(self, line: bytes) -> SseMessage | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        line = line.removesuffix(b"\r")
        if not line:
            return self._finish()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data += value + b"\n"
            self._check_size(len(self._data))
        elif field == b"event":
            self._event = value
        elif field == b"error":
            # So llama.cpp's server has written its errors.
            self._event, self._data = b"error", bytearray(value + b"\n")
        return None

    def _finish(self) -> SseMessage | None:
        message = SseMessage(self._event, bytes(self._data[:-1])) if self._data else None
        self._event = b""
        self._data.clear()
        return message

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise malformed_answer()
