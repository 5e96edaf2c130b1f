"""What every framework's script does: ``python NAME.py '{"url", "key", "say": [[…]…], "stop"}'``.

Says each message of each conversation and prints ``{"text", "pieces"}`` of its reply as a line of
JSON, or ``{"error"}``. The reply to the message ``stop`` is not read beyond its first piece.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, NamedTuple

#: Streams the reply to a message, which goes on with what the conversation was before.
Say = Callable[[str], Generator[str]]
AsyncSay = Callable[[str], AsyncGenerator[str]]


class Asked(NamedTuple):
    """The script's argument."""

    url: str
    key: str
    say: list[list[str]]
    stop: str


def run(begin: Callable[[str, str], Say]) -> None:
    """Hold each conversation with what ``begin`` makes of the host's address and token."""
    asked = Asked(**json.loads(sys.argv[1]))
    for conversation in asked.say:
        say = begin(asked.url, asked.key)
        for message in conversation:
            pieces: list[str] = []
            try:
                for piece in (reply := say(message)):
                    pieces += [piece] if piece else []
                    if pieces and message == asked.stop:
                        reply.close()
            except Exception as error:  # noqa: BLE001 - each framework has its own
                _print({"error": f"{type(error).__name__}: {error}"})
            else:
                _print({"text": "".join(pieces), "pieces": len(pieces)})


def run_async(begin: Callable[[str, str], AsyncSay]) -> None:
    """Do the same on one event loop."""
    asked = Asked(**json.loads(sys.argv[1]))
    asyncio.run(_converse(asked, begin))


async def _converse(asked: Asked, begin: Callable[[str, str], AsyncSay]) -> None:
    for conversation in asked.say:
        say = begin(asked.url, asked.key)
        for message in conversation:
            pieces: list[str] = []
            try:
                async for piece in (reply := say(message)):
                    pieces += [piece] if piece else []
                    if pieces and message == asked.stop:
                        await reply.aclose()
            except Exception as error:  # noqa: BLE001 - the same
                _print({"error": f"{type(error).__name__}: {error}"})
            else:
                _print({"text": "".join(pieces), "pieces": len(pieces)})


def _print(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)  # noqa: T201 - read by the test
