"""An agent for tests of the chat page, hosted by ``AGENT_FACTORY``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from wsgi_app import Status, Thinking, ToolCall, ToolResult, Turn, TurnError, steerable
from wsgi_app.agents import demo_agent

MARKDOWN: Final = """\
# Stock

It is **enough**, see [the list](https://example.org/list).

| Article | In stock |
|:--------|---------:|
| Nut `M4` | 1,200 |

1. Count
2. Sort
   - by *size*

> Twice a day.

```python
def stock_of(article): ...
```
"""
ADDRESS_SCHEMA: Final = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {
        "name": {"type": "string", "title": "Name", "description": "As on the door"},
        "count": {"type": "integer", "minimum": 1},
        "express": {"type": "boolean"},
        "size": {"enum": ["S", "M", "L"]},
    },
}
SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "text": {},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "enum": {"enum": ["red", "green", "blue"]},
    "many": {"enum": list(range(10))},
    "object": ADDRESS_SCHEMA,
}


def answer(turn: Turn) -> Iterator[Any]:
    """Do what the message's first word says; to others the demo agent has an answer."""
    word, _, rest = turn.message.partition(" ")
    return KINDS[word](turn, rest) if word in KINDS else demo_agent(turn)


@steerable
def listening(turn: Turn) -> Iterator[Any]:
    """Repeat what is said to it, until that is "stop"."""
    yield "I listen. "
    heard: list[str] = []
    while "stop" not in heard:
        turn.check()
        heard = turn.steered()
        yield from (f"You said {text}. " for text in heard)
        time.sleep(0.02)  # the pace of a model
    while not turn.may_end():
        yield from turn.steered()


def _ask(turn: Turn, kind: str) -> Iterator[Any]:
    """Ask for a value of a kind, and say it."""
    yield "I need to know more. "
    value = turn.ask(f"Which {kind}?", SCHEMAS[kind])
    yield f"You said {value!r}."


def _report(turn: Turn, _: str) -> Iterator[Any]:
    """Send a bit of everything."""
    yield Thinking("I look it up.")
    yield Status("Looking it up")
    yield ToolCall("stock_of", "call-1", {"article": "nut"})
    yield ToolResult("stock_of", "call-1", {"stock": 1200})
    yield ToolCall("price_of", "call-2", {"article": "nut"})
    yield ToolResult("price_of", "call-2", "no such list", "error")
    for start in range(0, len(MARKDOWN), 7):
        yield MARKDOWN[start : start + 7]
        turn.check()


def _quiet(turn: Turn, _: str) -> Iterator[Any]:
    """Say a word, and nothing more until it is stopped."""
    yield "Waiting. "
    ended = threading.Event()
    turn.on_cancel(ended.set)
    ended.wait(60)
    turn.check()


def _say(_: Turn, text: str) -> Iterator[Any]:
    yield text


def _pause(turn: Turn, _: str) -> Iterator[Any]:
    """Think, count to 40, and go on when a question is answered."""
    yield Thinking("I count.")
    for number in range(1, 41):
        yield f"{number} "
        time.sleep(0.02)  # the pace of a model
    turn.ask("Go on?", {"type": "boolean"})
    yield "and that is all."


def _outlive(turn: Turn, _: str) -> Iterator[Any]:
    """Say something that counts no more once another worker goes on."""
    yield Thinking("I think of it.")
    yield "I begin. "
    turn.step("count", lambda: 1)
    if turn.attempt == 1:
        yield ToolCall("stock_of", "call-1", {"article": "nut"})
        yield "This is taken back. "
        yield from _quiet(turn, "")
    yield "And I end."


def _delegate(turn: Turn, word: str) -> Iterator[Any]:
    """Have two sub-agents work, the second for the first; "wait" waits in the middle of it."""
    yield "I ask around. "
    with turn.child("finder") as finder:
        finder.emit(Status("Looking around"))
        finder.emit("I found **two** ")
        if word == "wait":
            turn.ask("Go on?", {"type": "boolean"})
        finder.emit("places. ")
        with finder.child("reader") as reader:
            reader.emit(ToolCall("read", "call-1", {"page": 7}))
            reader.emit(ToolResult("read", "call-1", "forty"))
            reader.emit("Page seven says forty. ")
    yield "It is forty."


KINDS: Final[dict[str, Callable[[Turn, str], Iterator[Any]]]] = {
    "ask": _ask,
    "delegate": _delegate,
    "outlive": _outlive,
    "pause": _pause,
    "report": _report,
    "quiet": _quiet,
    "say": _say,
}


def echo(turn: Turn) -> Iterator[Any]:
    """Say the message in every place that an agent can fill.

    Its tool runs until its question is answered. A message that begins with ``fail`` is the text
    of an error instead.
    """
    text = turn.message
    if text.startswith("fail"):
        raise TurnError(text)
    yield Status(text)
    yield Thinking(text)
    yield ToolCall(text, "call-1", {"input": text})
    reply = turn.ask(text, {"title": text, "description": text})
    yield ToolResult(text, "call-1", {"answer": reply})
    yield f"{text}, and you said {reply}"
