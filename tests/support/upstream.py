"""A model provider under the tests' control, over a real socket.

It speaks OpenAI's APIs and Anthropic's: ``POST /v1/responses`` is answered in the Responses API's
events, ``POST /v1/messages`` in those of Anthropic's API, every other path in the chunks of a chat
completion. The same scripts serve all.

A test scripts each request with the steps of its answer, in order::

    with Upstream() as upstream:
        upstream.script(Refuse(429, retry_after_seconds=0.1))
        upstream.script(Text(("Hel", "lo")), Usage(3, 2))

or writes the scripts into the user's message (`scripted_message`), which reaches the server through
any process in between. A request without a script gets `DEFAULT_SCRIPT`. After its script's last
step an answer is ended properly, unless that step was one that breaks it.

``python -m tests.support.upstream PORT`` serves until interrupted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tests.support.upstream_answer import Answer
from tests.support.upstream_chat import ChatShape
from tests.support.upstream_messages import MessagesShape
from tests.support.upstream_refusals import Refusal
from tests.support.upstream_responses import ResponsesShape
from tests.support.upstream_script import DEFAULT_SCRIPT, AnyStep, Refuse, Script, read_scripts
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own is missing in Python 3.10

START_SECONDS: Final = 10.0
#: A certificate whose key nobody has, for clients that read the system's before they need any.
AUTHORITY: Final = Path(__file__).with_name("authority.pem")
#: By the path's last part; all others get chat completions.
_SHAPES: Final[dict[str, type[ResponsesShape | MessagesShape]]] = {
    "responses": ResponsesShape,
    "messages": MessagesShape,
}


class Connection:
    """A client's connection. Written by the server's thread, read by the test's."""

    def __init__(self) -> None:
        #: When the client closed it or the server did, on the clock of `time.monotonic`.
        self.closed_at: float | None = None
        #: Whether a request of it is being answered.
        self.busy = False

    def wait_closed(self, seconds: float = 10) -> float:
        """Wait until it is closed and tell when that was."""
        return wait_for(lambda: self.closed_at, "the connection is closed", seconds) or 0.0


class Request(Struct, frozen=True):
    """A request as it came; ``path`` is without its query, header names are in lower case."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    connection: Connection
    received_at: float


class Upstream:
    """The server, in a thread of its own for the length of a ``with`` block.

    Scripts and requests are put in at one end and taken out at the other, by the test's thread
    and the server's.
    """

    #: How it answers chat completions.
    chat_shape: type[ChatShape] = ChatShape

    def __init__(self, port: int = 0, refusals: Sequence[Refusal] = ()) -> None:
        self.port = port
        self.requests: list[Request] = []
        #: What was refused, by the names of the refusals, in the order of the requests.
        self.refused: list[str] = []
        #: May be set before a request.
        self.refusals = refusals
        self.refusal = Refuse(400)
        self.connections: list[Connection] = []
        #: The connections that are open; the server's thread alone touches them.
        self.peers: set[_Peer] = set()
        self._scripts: deque[Script] = deque()
        self._seen: Counter[str] = Counter()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """What ``OPENAI_BASE_URL`` takes."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def busy(self) -> int:
        """How many requests are being answered."""
        return sum(connection.busy for connection in list(self.connections))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a stand-alone app that talks to this server."""
        return {
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": "sk-upstream-test-key",
            "AGENT_MODEL": "test-model",
            "SSL_CERT_FILE": str(AUTHORITY),
        }

    def script(self, *steps: AnyStep) -> None:
        """Say how the next request without a script is answered."""
        self._scripts.append(steps)

    def wait_request(self, number: int = 1, seconds: float = 10) -> Request:
        """Wait for a request, counted from 1."""
        wait_for(lambda: len(self.requests) >= number, f"upstream request {number}", seconds)
        return self.requests[number - 1]

    def take_script(self, request: Request) -> Script:
        """Note a request and find its script; for the server's thread."""
        self.requests.append(request)
        refused = [f"{r.__name__}: {why}" for r in self.refusals if (why := r(request.body))]
        if refused:
            self.refused += refused
            return (self.refusal,)
        message = _last_user_message(request.body)
        scripted = read_scripts(message)
        if scripted is not None:
            number = self._seen[message]
            self._seen[message] += 1
            return scripted[min(number, len(scripted) - 1)]
        return self._scripts.popleft() if self._scripts else DEFAULT_SCRIPT

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_SECONDS), "the upstream server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Peer(self), "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for peer in list(self.peers):
            peer.close()
        await asyncio.sleep(0)  # lets their sockets be closed


class _Peer(asyncio.Protocol):
    """One connection: reads requests, plays their scripts, and notes when it is closed."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._connection = Connection()
        upstream.connections.append(self._connection)
        self._received = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._upstream.peers.add(self)

    def close(self) -> None:
        """Close the connection now."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._task is None or self._task.done():
            self._begin_answer()

    def eof_received(self) -> None:
        self._note_close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # however it was lost, it is closed
        self._upstream.peers.discard(self)
        self._note_close()

    def _note_close(self) -> None:
        if self._connection.closed_at is None:
            self._connection.closed_at = time.monotonic()
        if self._task is not None:
            self._task.cancel()

    def _begin_answer(self) -> None:
        head, separator, rest = bytes(self._received).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        length = int(headers.get("content-length", 0))
        if not separator or len(rest) < length:
            return
        self._received = bytearray(rest[length:])
        body = json.loads(rest[:length] or b"{}")
        path = first.split(" ")[1].partition("?")[0]
        request = Request(path, body, headers, self._connection, time.monotonic())
        script = self._upstream.take_script(request)
        shape = _SHAPES.get(path.rpartition("/")[2], self._upstream.chat_shape)
        answer = Answer(self._transport, shape(body))
        self._connection.busy = True
        self._task = asyncio.ensure_future(answer.play(script))
        self._task.add_done_callback(self._note_answered)

    def _note_answered(self, _: asyncio.Task[None]) -> None:
        self._connection.busy = False


def _last_user_message(body: dict[str, Any]) -> str:
    messages = body.get("input", body.get("messages", []))
    if isinstance(messages, str):
        return messages
    contents = [message["content"] for message in messages if message.get("role") == "user"]
    last = contents[-1] if contents else ""
    text = last if isinstance(last, str) else "".join(part.get("text", "") for part in last)
    return text.rpartition("</system-reminder>\n")[2]  # a framework may put one before it


def main() -> None:
    """Serve on the port that the command line names."""
    with Upstream(int(sys.argv[1])) as upstream, suppress(KeyboardInterrupt):
        sys.stdout.write(f"OPENAI_BASE_URL={upstream.url}\n")
        threading.Event().wait()


if __name__ == "__main__":
    main()
