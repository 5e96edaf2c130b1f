"""A server's messages, cut out of a stream of bytes, with a bound on each."""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Final

from mcp_types import INTERNAL_ERROR

log = logging.getLogger("wsgi_app")

#: Enough of a message's ends to find there what it answers.
_END_BYTES: Final = 256
_ID: Final = rb'("[^"\\]{1,200}"|\d{1,18})'
_VERSION: Final = rb'"jsonrpc"\s*:\s*"2\.0"'
#: An answer that begins, or ends, with its id: the SDK of Python writes the first, that of
#: TypeScript the second.
_ID_FIRST: Final = re.compile(
    rb"(?:data: ?)?\{\s*(?:%s\s*,\s*)?\"id\"\s*:\s*%s\s*,\s*(?:%s\s*,\s*)?\"(?:result|error)\""
    % (_VERSION, _ID, _VERSION)
)
_ID_LAST: Final = re.compile(rb",\s*\"id\"\s*:\s*%s(?:\s*,\s*%s)?\s*\}\s*\Z" % (_ID, _VERSION))


class Messages:
    """Cuts lines out of a stream; a longer one than the bound is not kept.

    Such a line becomes an error for the request that it answers, and nothing if that cannot be
    seen. A blank line, as it ends an event of a stream, is passed on like any other.
    """

    def __init__(self, server: str, max_bytes: int) -> None:
        self._server = server
        self._max_bytes = max_bytes
        self._kept: list[bytes] = []
        self._head = b""
        self._tail = b""
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; gives the lines that they end, without the line's end."""
        *ended, rest = data.split(b"\n")
        lines = []
        for part in ended:
            self._keep(part)
            line = self._take()
            if line is not None:
                lines.append(line)
        self._keep(rest)
        return lines

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if len(self._head) < _END_BYTES:
            self._head += part[: _END_BYTES - len(self._head)]
        self._tail = (self._tail + part[-_END_BYTES:])[-_END_BYTES:]
        if self._size <= self._max_bytes:
            self._kept.append(part)
        else:
            self._kept.clear()

    def _take(self) -> bytes | None:
        line: bytes | None = b"".join(self._kept)
        if self._size > self._max_bytes:
            line = self._instead()
        self._kept.clear()
        self._head = self._tail = b""
        self._size = 0
        return line

    def _instead(self) -> bytes | None:
        log.warning(
            "MCP server %s: a message of %d bytes is not read, it may have %d",
            *(self._server, self._size, self._max_bytes),
        )
        request_id = _request_id(self._head, self._tail)
        if request_id is None:
            return None
        prefix = b"data: " if self._head.startswith(b"data:") else b""
        return prefix + too_large(request_id, self._size, self._max_bytes)


def too_large(request_id: Any, size: int | None, max_bytes: int) -> bytes:
    """Make an answer that stands for one that is too large; ``size`` if it is known."""
    has = "more" if size is None else f"{size} bytes, more"
    text = (
        f"the tool has run, but its result has {has} than the {max_bytes} bytes that are read; "
        "ask for less at a time"
    )
    error = {"code": INTERNAL_ERROR, "message": text}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode()


def _request_id(head: bytes, tail: bytes) -> Any:
    found = _ID_FIRST.match(head)
    if found is None and b'"method"' not in head[:100]:
        found = _ID_LAST.search(tail)
    return None if found is None else json.loads(found[1])
