"""Server-sent events, as a host writes them, from bytes cut anywhere."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wsgi_app.cli.faults import ConnectionLost

#: A turn's output is at most 4 MiB by default, which JSON escapes at most sixfold.
MAX_BLOCK_BYTES: Final = 24 * 1024 * 1024
_RUN: Final = re.compile("run ([0-9a-f]{12})", re.ASCII)
_RETRY: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class Block(NamedTuple):
    """One event's lines; ``id`` is None where there is no such line.

    ``run``: the mark in the comment before a run's first event, else ''.
    """

    id: str | None
    data: str
    run: str = ""


class BlockParser:
    """Collects bytes and gives the blocks that they complete. Used by one stream alone."""

    def __init__(self) -> None:
        #: The reconnection time that the host asked for, if it did.
        self.retry_seconds: float | None = None
        self._rest = bytearray()
        self._id: str | None = None
        self._run = ""
        self._data: list[str] = []
        self._data_chars = 0

    def feed(self, piece: bytes) -> list[Block]:
        """Take the next bytes; raises ConnectionLost for what is no event stream."""
        self._rest += piece
        blocks: list[Block] = []
        if b"\n" in piece:
            *lines, self._rest = self._rest.split(b"\n")
            taken = [self._take(line.removesuffix(b"\r")) for line in lines]
            blocks = [block for block in taken if block is not None]
        if len(self._rest) + self._data_chars > MAX_BLOCK_BYTES:
            raise ConnectionLost("The stream holds an event without an end.")
        return blocks

    def _take(self, line: bytearray) -> Block | None:
        if not line:
            return self._finish()
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise ConnectionLost("The stream is not UTF-8.") from None
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_chars += len(value)
        elif name == "id":
            self._id = value
        elif name == "" and (run := _RUN.fullmatch(value)):
            self._run = run[1]
        elif name == "retry" and _RETRY.fullmatch(value):
            self.retry_seconds = int(value) / 1000
        return None

    def _finish(self) -> Block | None:
        block = Block(self._id, "\n".join(self._data), self._run) if self._data else None
        self._id, self._run, self._data, self._data_chars = None, "", [], 0
        return block
