"""MCP over the standard streams of a program, whose messages are bounded while they are read.

The package's own transport joins a line's pieces again with each of them, however long it is: a
result of 30 MB held the loop for 38 s (measured, mcp 2.3).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import anyio
from anyio.abc import Process
from mcp import StdioServerParameters
from mcp.client.stdio import get_default_environment
from mcp.os.posix.utilities import terminate_posix_process_tree
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from wsgi_app.agents.mcp.endpoint import Wire
from wsgi_app.agents.mcp.messages import Messages

log = logging.getLogger("wsgi_app")

#: For what was sent last.
FLUSH_SECONDS: Final = 0.5
#: For a program's own end, for its end by SIGTERM, and for the notice that it was killed.
END_SECONDS: Final = 2.0
_CHUNK_BYTES: Final = 65_536
_POLL_SECONDS: Final = 0.01
_GONE: Final = (
    anyio.EndOfStream,
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    OSError,
)


@asynccontextmanager
async def run_program(program: StdioServerParameters, wire: Wire) -> AsyncGenerator[Any, None]:
    """Start a program and connect to it; it is gone when this is left.

    A program that does not end once its standard input has is ended with all that it started.
    """
    wire.is_stateful = True
    process = await anyio.open_process(
        [program.command, *program.args],
        env=get_default_environment() | (program.env or {}),
        stderr=sys.__stderr__,
        cwd=program.cwd,
        start_new_session=True,
    )
    incoming, received = anyio.create_memory_object_stream[Any](0)
    to_send, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
    has_sent = anyio.Event()

    async def read() -> None:
        async with incoming:
            await _read(process, wire, incoming.send)
        wire.ended = True

    async def write() -> None:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            async with outgoing:
                async for sent in outgoing:
                    text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await process.stdin.send(f"{text}\n".encode())
        except _GONE:
            wire.ended = True
            await incoming.aclose()  # a request would wait for its answer for ever
        finally:
            has_sent.set()

    async with anyio.create_task_group() as tasks, AsyncExitStack() as streams:
        for stream in (incoming, received, to_send, outgoing):
            streams.push_async_callback(stream.aclose)
        tasks.start_soon(read)
        tasks.start_soon(write)
        try:
            yield received, to_send
        finally:
            wire.ended = True
            with anyio.CancelScope(shield=True):
                received.close()  # the reader reads on, for nothing: a full pipe would hold the end
                to_send.close()
                with anyio.move_on_after(FLUSH_SECONDS):
                    await has_sent.wait()
                await _end(process)
            tasks.cancel_scope.cancel()


async def _read(process: Process, wire: Wire, hand_on: Any) -> None:
    """Pass on the program's messages to its end, even when they are no longer read."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    messages = Messages(wire.server, wire.max_message_bytes)
    is_wanted, is_logged = True, False
    with suppress(*_GONE):
        while True:
            chunk = await process.stdout.receive(_CHUNK_BYTES)
            for line in messages.feed(chunk) if is_wanted else ():
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    if not is_logged and line.strip():
                        is_logged = True
                        log.warning("MCP server %s writes what is no message", wire.server)
                    continue
                try:
                    await hand_on(SessionMessage(message))
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                    is_wanted = False
                    break


async def _end(process: Process) -> None:
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101
    with suppress(*_GONE):
        await process.stdin.aclose()
    if not await _has_ended(process, END_SECONDS):
        await terminate_posix_process_tree(process, END_SECONDS)
        if not await _has_ended(process, END_SECONDS):
            log.warning("MCP server: process %d cannot be killed", process.pid)
    with suppress(*_GONE):
        await process.stdout.aclose()
    # A descendant that holds a pipe keeps asyncio's transport open, which warns when it is freed.
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    if transport is not None:
        with suppress(PermissionError):  # before Python 3.13 it signals a process of another user
            transport.close()


async def _has_ended(process: Process, seconds: float) -> bool:
    # Not process.wait(), which waits for the pipes too, and a descendant may hold them.
    deadline = anyio.current_time() + seconds
    while process.returncode is None and anyio.current_time() < deadline:  # noqa: ASYNC110 - see there
        await anyio.sleep(_POLL_SECONDS)
    return process.returncode is not None
