"""Many turns that begin at one instant, and what the site's page does meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.support.client import new_session
from tests.support.waiting import POLL_SECONDS

TOKEN = "crowd"
TENANT = "crowd"


class Crowd(NamedTuple):
    """What became of the turns; seconds are counted from the instant they began."""

    #: The types of each stream's events without its tokens, or its status line if it was refused.
    streams: list[tuple[str, ...]]
    #: When the last stream had ended.
    seconds: float
    #: How long each request of the page took, one after the other all the while.
    page_seconds: list[float]


def send_crowd(port: int, prefix: str, messages: Sequence[str], page: str) -> Crowd:
    """Post each message to a new session at once, and ask for ``page`` until all have ended."""
    return asyncio.run(_send(port, prefix, messages, page))


def send_pages(port: int, page: str, count: int) -> float:
    """Ask for ``page`` so often at once; after how many seconds the last answer was there."""
    return asyncio.run(_send_pages(port, page, count))


async def _send_pages(port: int, page: str, count: int) -> float:
    began_at = time.monotonic()
    await asyncio.gather(*(_get_page(port, page) for _ in range(count)))
    return time.monotonic() - began_at


async def _send(port: int, prefix: str, messages: Sequence[str], page: str) -> Crowd:
    asking = asyncio.create_task(_ask_page(port, page))
    began_at = time.monotonic()
    streams = await asyncio.gather(
        *(_read_turn(port, f"{prefix}/chat/{new_session()}", message) for message in messages)
    )
    seconds = time.monotonic() - began_at
    asking.cancel()
    return Crowd(streams, seconds, await asking)


async def _read_turn(port: int, path: str, message: str) -> tuple[str, ...]:
    body = json.dumps({"message": message}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    )
    answer = await _exchange(port, head.encode() + b"\r\n" + body)
    events = [line for line in answer.splitlines() if line.startswith("data: ")]
    if not events:
        return (answer.splitlines()[0],)
    kinds = [json.loads(event.removeprefix("data: "))["type"] for event in events]
    return tuple(kind for kind in kinds if kind != "token")


async def _ask_page(port: int, path: str) -> list[float]:
    took_seconds: list[float] = []
    try:
        while True:
            began_at = time.monotonic()
            await _get_page(port, path)
            took_seconds.append(time.monotonic() - began_at)
            await asyncio.sleep(POLL_SECONDS)
    except asyncio.CancelledError:
        return took_seconds


async def _get_page(port: int, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await _exchange(port, head.encode())
    assert answer.startswith("HTTP/1.1 200 "), answer[:200]


async def _exchange(port: int, request: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return (await reader.read()).decode()
    finally:
        writer.close()
