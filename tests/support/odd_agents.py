"""Agents that do what none should, one for each name in `ODD`; the message chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from flask import Flask
from markupsafe import Markup
from pydantic import BaseModel

from tests.support.agents import observe
from wsgi_app import AgentHost, ToolCall, ToolResult, Turn, TurnError, Usage
from wsgi_app.events import Token

#: How long an agent waits for an answer before it gives its question up.
PATIENCE_SECONDS = 0.3
#: Below the stack's own limit, above what a reader's thread can decode.
DEEP = 900


class Id(int):
    """A number with a name."""

    def __str__(self) -> str:
        return f"id-{int(self)}"


class Share(float):
    """The same with a point."""


class Row(BaseModel):
    """What a tool of a framework may return."""

    id: int
    of: Any


class ForeignInteger:
    """Adds to a number and stays itself, as those of numerical libraries do."""

    def __add__(self, _: object) -> ForeignInteger:
        return self

    __radd__ = __add__


class LabelledToken(Token, frozen=True, tag="labelled"):
    """An event of the agent's own."""

    label: str = "mine"


async def _give_up(turn: Turn) -> AsyncIterator[str]:
    try:
        yield str(await asyncio.wait_for(turn.ask_async("First?"), PATIENCE_SECONDS))
    except asyncio.TimeoutError:
        yield "gave up"


async def _give_up_and_go_on(turn: Turn) -> AsyncIterator[str]:
    async for token in _give_up(turn):
        yield token
    await asyncio.sleep(PATIENCE_SECONDS)
    yield ", went on"


async def _give_up_and_wait(turn: Turn) -> AsyncIterator[str]:
    async for token in _give_up(turn):
        yield token
    await asyncio.sleep(3600)


async def _give_up_and_ask(turn: Turn) -> AsyncIterator[str]:
    async for token in _give_up(turn):
        yield token
    yield str(await turn.ask_async("Second?"))


def _ask_after_expiry(turn: Turn) -> Iterator[str]:
    try:
        yield str(turn.ask("First?"))
    except TurnError:
        yield "gave up"
    yield str(turn.ask("Second?"))


async def _ask_on_the_loop(turn: Turn) -> AsyncIterator[str]:
    yield str(turn.ask("First?"))


async def _wait_on_the_loop(turn: Turn) -> AsyncIterator[str]:
    yield str(turn.run_async(asyncio.sleep(0, "done")))


def _count(count: Any) -> Callable[[Turn], Iterator[str]]:
    def agent(turn: Turn) -> Iterator[str]:
        yield "counted"
        turn.add_usage(Usage(count, 1, 1))

    return agent


def _deep_result(_: Turn) -> Iterator[ToolResult]:
    output: list[Any] = []
    for _level in range(DEEP):
        output = [output]
    yield ToolResult("tool", "call", output)


def _failing_callback(turn: Turn) -> Iterator[str]:
    turn.on_cancel(turn.check)
    turn.on_cancel(lambda: observe("called_back", turn.session_id))
    yield "x"
    turn.run_async(asyncio.sleep(3600))


#: Sends usage that is no whole number.
COUNTS: dict[str, Any] = {
    "float": _count(12.5),
    "not a number": _count(float("nan")),
    "foreign": _count(ForeignInteger()),
    "negative": _count(-1),
    "bool": _count(True),  # noqa: FBT003 - what is tested
}
#: Sends what is no event, or asks what is no question.
OUTPUTS: dict[str, Any] = {
    "prompt": lambda turn: str(turn.ask(5)),
    "schema": lambda turn: str(turn.ask("q", ["a"])),
    "schema of objects": lambda turn: str(turn.ask("q", {"a": object()})),
    "subclass": lambda _: [LabelledToken("x")],
    "deep": _deep_result,
}
#: Blocks the loop that it runs on.
BLOCKING: dict[str, Any] = {"ask": _ask_on_the_loop, "run_async": _wait_on_the_loop}
ODD: dict[str, Any] = {
    **COUNTS,
    **OUTPUTS,
    **BLOCKING,
    "give up": _give_up_and_go_on,
    "give up and wait": _give_up_and_wait,
    "give up and ask": _give_up_and_ask,
    "ask after expiry": _ask_after_expiry,
    "markup": lambda _: [Markup("<b>"), "&", Token(Markup("<i>")), "&"],
    "rich data": lambda _: [
        ToolCall(Markup("look_up"), "c-1", {"at": Markup("<b>"), "row": Row(id=Id(7), of="x")}),
        ToolResult("look_up", "c-1", [Markup("<b>"), Id(7), Row(id=8, of="\ud800"), Share(0.5)]),
    ],
    "failing callback": _failing_callback,
    "fine": lambda _: "fine",
}


def odd(turn: Turn) -> Any:
    """Do what the message says."""
    return ODD[turn.message](turn)


def odd_app() -> Flask:
    """Mount the odd agents below /agents."""
    app = Flask("site")
    AgentHost(odd).init_app(app, url_prefix="/agents")
    return app
