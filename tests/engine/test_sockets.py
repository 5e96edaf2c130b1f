"""Sockets that keep the interpreter while they never block."""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.support.service import make_certificate
from wsgi_app.agents.openai_direct import _socket_options
from wsgi_app.engine.runtime.sockets import (
    MAX_RECEIVED_BYTES,
    EagerSocket,
    receive_at_once,
    send_at_once,
)


def send_what_fits(client: socket.socket, data: bytes) -> int:
    """Send until the socket refuses; returns how many bytes it took."""
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += send_at_once(client, data[sent:])
    return sent


def test_a_send_takes_what_there_is_room_for() -> None:
    """A full socket takes a part, then raises BlockingIOError; nothing is lost or doubled."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        data = bytes(range(256)) * 8192
        sent = send_at_once(ours, data)
        assert 0 < sent < len(data)
        sent += send_what_fits(ours, data[sent:])
        received = b""
        while len(received) < sent:
            received += theirs.recv(1 << 20)
        assert received == data[:sent]


def test_a_send_reports_that_the_client_has_gone() -> None:
    """A closed peer is an OSError, not a signal that ends the process."""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(BrokenPipeError):
            send_at_once(ours, b"a")
    with pytest.raises(OSError, match="Bad file descriptor"):
        send_at_once(ours, b"a")


def test_what_is_received_is_what_is_there() -> None:
    """Bytes that have come are taken up to the bound; else it is BlockingIOError, or the end."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            with pytest.raises(BlockingIOError):
                receive_at_once(ours, 10)
            theirs.sendall(b"hello")
            assert [receive_at_once(ours, 3), receive_at_once(ours, 10)] == [b"hel", b"lo"]
            theirs.sendall(b"a" * (MAX_RECEIVED_BYTES + 10))
            assert len(receive_at_once(ours, 1 << 30)) == MAX_RECEIVED_BYTES
            assert len(receive_at_once(ours, 1 << 30)) == 10
        assert receive_at_once(ours, 10) == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        receive_at_once(ours, 10)


def test_threads_receive_apart() -> None:
    """Threads that receive at the same time get each its own bytes."""

    def receive(number: int) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for count in range(1, 1000):
                data = bytes([number]) * count
                theirs.sendall(data)
                assert receive_at_once(ours, MAX_RECEIVED_BYTES) == data

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(receive, range(4)))


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's, and a client's that trusts it."""
    make_certificate(folder)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "agents.crt", folder / "agents.key")
    return server_side, ssl.create_default_context(cafile=str(folder / "agents.crt"))


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_loop_reads_and_writes_all_of_it(tmp_path: Path, *, encrypted: bool) -> None:
    """Megabytes go through a loop's transport both ways, past its high-water mark."""
    data = bytes(range(256)) * 16_384
    server_side, client_side = contexts(tmp_path) if encrypted else (None, None)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100_000):
            writer.write(piece)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def go() -> bytes:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_side)
        eager = EagerSocket(socket.AF_INET, socket.SOCK_STREAM)
        eager.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(eager, server.sockets[0].getsockname())
        name = "localhost" if encrypted else None
        reader, writer = await asyncio.open_connection(
            sock=eager, ssl=client_side, server_hostname=name
        )
        writer.write(data)
        received = await asyncio.wait_for(reader.readexactly(len(data)), 30)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return received

    assert asyncio.run(go()) == data


def test_aiohttp_reads_an_encrypted_provider_whole(tmp_path: Path) -> None:
    """Through the sockets that the direct way has aiohttp make, nothing of an answer is lost."""
    pieces = [b"data: %d\n\n" % number + b"x" * (number % 700) for number in range(2000)]
    server_side, client_side = contexts(tmp_path)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    async def go() -> bytes:
        app = web.Application()
        app.router.add_get("/", stream)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_side).start()
        options = _socket_options(aiohttp.TCPConnector)
        assert "socket_factory" in options
        connector = aiohttp.TCPConnector(ssl=client_side, **options)
        url = f"https://localhost:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as got:
            body = await asyncio.wait_for(got.read(), 30)
        await runner.cleanup()
        return body

    assert asyncio.run(go()) == b"".join(pieces)
