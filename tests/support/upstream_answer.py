"""How the model provider under the tests' control plays a script to its client."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from typing import Protocol

from tests.support.upstream_script import (
    AnyStep,
    Body,
    Cut,
    Data,
    Finish,
    Raw,
    Reasoning,
    Refuse,
    Script,
    Stall,
    Text,
    ToolCalls,
    Usage,
)


class Shape(Protocol):
    """How an API writes the steps of a script."""

    def text(self, token: str) -> bytes:
        """A piece of the answer."""

    def reasoning(self, token: str, step: Reasoning) -> bytes:
        """A piece of the reasoning."""

    def tool_calls(self, step: ToolCalls) -> Iterator[bytes]:
        """The calls."""

    def end(self, reason: str | None, usage: Usage | None) -> bytes:
        """What follows the last step."""


class Answer:
    """An answer on its way, in the shape of one API. Used by the server's loop alone."""

    def __init__(self, transport: asyncio.Transport, shape: Shape) -> None:
        self._transport = transport
        self._shape = shape
        self._usage: Usage | None = None
        self._finish_reason: str | None = None
        self._has_head = False
        self._is_over = False

    async def play(self, script: Script) -> None:
        """Play all steps, then end the answer unless it is over."""
        for step in script:
            await self._play(step)
        if not self._is_over:
            self._body(self._shape.end(self._finish_reason, self._usage))
            self._end_of_file()

    async def _play(self, step: AnyStep) -> None:
        if isinstance(step, Text):
            for token in step.tokens:
                await self._events(self._shape.text(token), step.pace_seconds)
        elif isinstance(step, Reasoning):
            for token in step.tokens:
                await self._events(self._shape.reasoning(token, step))
        elif isinstance(step, ToolCalls):
            for events in self._shape.tool_calls(step):
                await self._events(events, step.pace_seconds)
        elif isinstance(step, Raw):
            await self._raw(step)
        elif isinstance(step, Stall):
            await asyncio.sleep(step.seconds)
        else:
            self._play_at_once(step)

    def _play_at_once(self, step: AnyStep) -> None:
        if isinstance(step, Usage):
            self._usage = step
        elif isinstance(step, Finish):
            self._finish_reason = step.reason
        elif isinstance(step, Data):
            self._body(f"data: {json.dumps(step.value)}\n\n".encode())
        elif isinstance(step, Refuse):
            self._refuse(step)
        elif isinstance(step, Body):
            self._whole(f"200 OK\r\nContent-Type: {step.content_type}\r\n", step.text)
        elif isinstance(step, Cut):
            self._cut(step)
        else:
            self._end_of_file()

    async def _events(self, events: bytes, pace_seconds: float = 0.0) -> None:
        self._body(events)
        await asyncio.sleep(pace_seconds)

    async def _raw(self, step: Raw) -> None:
        data = step.text.encode()
        size = step.piece_bytes or len(data)
        for start in range(0, len(data), size):
            self._body(data[start : start + size])
            await asyncio.sleep(0)

    def _body(self, data: bytes) -> None:
        self._head()
        self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _head(self) -> None:
        if not self._has_head:
            self._has_head = True
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )

    def _end_of_file(self) -> None:
        self._is_over = True
        self._head()
        self._transport.write(b"0\r\n\r\n")

    def _refuse(self, step: Refuse) -> None:
        error = {"message": step.secret, "type": step.type, "code": step.code}
        head = f"{step.status} Refused\r\nContent-Type: application/json\r\n"
        if step.retry_after_seconds is not None:
            head += f"Retry-After: {step.retry_after_seconds}\r\n"
        self._whole(head, json.dumps({"error": error}))

    def _whole(self, head: str, text: str) -> None:
        self._is_over = True
        body = text.encode()
        head = f"HTTP/1.1 {head}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def _cut(self, step: Cut) -> None:
        self._is_over = True
        if step.reset:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
