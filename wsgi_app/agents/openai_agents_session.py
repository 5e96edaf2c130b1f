"""A session of the OpenAI Agents SDK, as the memory of a session of the host's."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from agents import TResponseInputItem
from agents.memory import Session

from wsgi_app.agents.memory_gap import Remembered, join_texts, missing_messages
from wsgi_app.agents.openai_agents_translate import items_of, raw_field
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import without_mark
from wsgi_app.store.base import Message

#: Makes a session of the SDK by the host's name for it.
MakeSession = Callable[[str], Session]


@asynccontextmanager
async def opened(make: MakeSession, thread_id: str) -> AsyncIterator[Session]:
    """A session for the length of the block, closed behind it if it can be."""
    session = make(thread_id)
    try:
        yield session
    finally:
        close = getattr(session, "close", None)
        closing = close() if close is not None else None
        if inspect.isawaitable(closing):
            await closing


async def prepare(session: Session, turn: Turn) -> None:
    """Make what a session remembers fit for the turn's message.

    The SDK leaves out calls without results, and writes nothing of an answer that breaks off.
    """
    items = await session.get_items()
    if turn.replaces and not _is_before(items, turn.history):
        items = await _without_newest(session, items)
    added = _missing_items(items, turn.history) if items else _as_items(turn.history)
    if added:
        await session.add_items(cast("list[TResponseInputItem]", added))


def _missing_items(items: Sequence[Any], history: Sequence[Message]) -> list[dict[str, Any]]:
    memory = _remembered(items)
    stopped = not memory.is_answered or _is_unfinished(history)
    missing = missing_messages(memory, history, stopped=stopped)
    results = missing[: len(memory.open_calls)]
    return [
        *(
            {"type": "function_call_output", "call_id": m["tool_call_id"], "output": m["content"]}
            for m in results
        ),
        *_as_items(missing[len(results) :]),
    ]


def _as_items(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [item for message in messages for item in items_of(message)]


async def take_out(session: Session, message: str) -> None:
    """Take the message out again, if it is the last that the session holds."""
    last = await session.get_items(limit=1)
    if last and _role_of(last[-1]) == "user" and _text_of(last[-1]) == message:
        await session.pop_item()


async def add_rest(session: Session, turn: Turn, items: Sequence[TResponseInputItem]) -> None:
    """Add what a session lacks of the turn's exchange; ``items`` are all that models were sent."""
    held = await session.get_items()
    asked, start = _last_asked(held), _last_asked(items)
    if start is None:
        return
    is_held = asked is not None and _text_of(held[asked]) == turn.message
    known = len(held) - asked if is_held and asked is not None else 0
    await session.add_items(list(items[start + known :]))


def _last_asked(items: Sequence[Any]) -> int | None:
    asked = [index for index, item in enumerate(items) if _role_of(item) == "user"]
    return asked[-1] if asked else None


async def _without_newest(session: Session, items: Sequence[Any]) -> list[Any]:
    left = list(items)
    while left:
        await session.pop_item()
        if _role_of(left.pop()) == "user":
            break
    return left


def _is_before(items: Sequence[Any], history: Sequence[Message]) -> bool:
    """Whether the replaced turn has written nothing: it failed before it could."""
    held = [_text_of(item) for item in items if _role_of(item) == "user"]
    known = [one["content"] for one in history if one["role"] == "user"]
    return held[-1:] == known[-1:] and len(held) <= len(known)


def _is_unfinished(history: Sequence[Message]) -> bool:
    last = history[-1]["content"] if history else None
    return isinstance(last, str) and without_mark(last) != last


def _remembered(items: Sequence[Any]) -> Remembered:
    asked = [index for index, item in enumerate(items) if _role_of(item) == "user"]
    answer = items[asked[-1] + 1 :] if asked else items
    calls = _ids_of(answer, "function_call")
    results = set(_ids_of(answer, "function_call_output"))
    return Remembered(
        user=_text_of(items[asked[-1]]) if asked else None,
        calls=set(calls),
        open_calls=[call_id for call_id in calls if call_id not in results],
        text=join_texts(_text_of(item) for item in answer if _role_of(item) == "assistant"),
        is_answered=bool(answer) and _role_of(answer[-1]) == "assistant",
    )


def _ids_of(items: Sequence[Any], kind: str) -> list[str]:
    return [str(raw_field(item, "call_id")) for item in items if raw_field(item, "type") == kind]


def _role_of(item: Any) -> str:
    return str(raw_field(item, "role"))


def _text_of(item: Any) -> str:
    content = raw_field(item, "content")
    if isinstance(content, str):
        return content
    return "".join(str(raw_field(part, "text") or "") for part in content or ())
