"""How the model provider under the tests' control plays a script to its client."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

from tests.support.upstream_script import (
    AnyStep,
    Cut,
    Data,
    EndOfFile,
    Finish,
    Raw,
    Reasoning,
    Refuse,
    Script,
    Stall,
    Text,
    ToolCalls,
    Usage,
    chunk,
)


class Answer:
    """An answer on its way. Used by the server's loop alone."""

    def __init__(self, transport: asyncio.Transport, body: dict[str, Any]) -> None:
        self._transport = transport
        self._wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._usage: Usage | None = None
        self._finish_reason = "stop"
        self._has_head = False
        self._is_over = False

    async def play(self, script: Script) -> None:
        """Play all steps, then end the answer unless it is over."""
        for step in script:
            await self._play(step)
        if not self._is_over:
            self._end()

    async def _play(self, step: AnyStep) -> None:
        match step:
            case Text():
                for token in step.tokens:
                    await self._delta({"content": token}, step.pace_seconds)
            case Reasoning():
                for token in step.tokens:
                    await self._delta({step.field: token})
            case ToolCalls():
                await self._tool_calls(step)
            case Raw():
                await self._raw(step)
            case Stall():
                await asyncio.sleep(step.seconds)
            case _:
                self._play_at_once(step)

    def _play_at_once(self, step: AnyStep) -> None:
        match step:
            case Usage():
                self._usage = step
            case Finish():
                self._finish_reason = step.reason
            case Data():
                self._event(json.dumps(step.value))
            case Refuse():
                self._refuse(step)
            case Cut():
                self._cut(step)
            case EndOfFile():
                self._end_of_file()

    async def _tool_calls(self, step: ToolCalls) -> None:
        self._finish_reason = "tool_calls"
        for index, call in enumerate(step.calls):
            function = {"name": call.name, "arguments": ""}
            fragment = {"index": index, "id": call.id, "type": "function", "function": function}
            await self._delta({"tool_calls": [fragment]}, step.pace_seconds)
        longest = max(len(call.arguments) for call in step.calls)
        for start in range(0, longest, step.fragment_chars):
            for index, call in enumerate(step.calls):
                text = call.arguments[start : start + step.fragment_chars]
                if text:
                    fragment = {"index": index, "function": {"arguments": text}}
                    await self._delta({"tool_calls": [fragment]}, step.pace_seconds)

    async def _delta(self, delta: dict[str, Any], pace_seconds: float = 0.0) -> None:
        self._event(json.dumps(chunk(delta)))
        await asyncio.sleep(pace_seconds)

    async def _raw(self, step: Raw) -> None:
        data = step.text.encode()
        size = step.piece_bytes or len(data)
        for start in range(0, len(data), size):
            self._body(data[start : start + size])
            await asyncio.sleep(0)

    def _event(self, text: str) -> None:
        self._body(f"data: {text}\n\n".encode())

    def _body(self, data: bytes) -> None:
        if not self._has_head:
            self._has_head = True
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
        self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _end(self) -> None:
        self._event(json.dumps(chunk({}, self._finish_reason)))
        if self._usage is not None and self._wants_usage:
            given, taken = self._usage.input_tokens, self._usage.output_tokens
            counts = {"prompt_tokens": given, "completion_tokens": taken}
            usage = {**counts, "total_tokens": given + taken}
            self._event(json.dumps({**chunk({}), "choices": [], "usage": usage}))
        self._event("[DONE]")
        self._end_of_file()

    def _end_of_file(self) -> None:
        self._is_over = True
        self._transport.write(b"0\r\n\r\n")

    def _refuse(self, step: Refuse) -> None:
        self._is_over = True
        error = {"message": step.secret, "type": "test", "code": "refused"}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 {step.status} Refused\r\nContent-Type: application/json\r\n"
        if step.retry_after_seconds is not None:
            head += f"Retry-After: {step.retry_after_seconds}\r\n"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def _cut(self, step: Cut) -> None:
        self._is_over = True
        if step.reset:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
