"""What an agent may send, checked, encoded and weighed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs

from wsgi_app.errors import TurnError
from wsgi_app.events import (
    AGENT_EVENTS,
    AnyEvent,
    Event,
    Handoff,
    Nested,
    Status,
    Thinking,
    Token,
    decode_event,
    encode_event,
    encode_json,
)
from wsgi_app.nesting import check_depth

log = logging.getLogger("wsgi_app")

#: Ids of calls that sub-agents make begin with those of the calls that they work for.
MAX_NAME_CHARS = 1024


class Output(Struct, frozen=True, gc=False):
    """An event, its JSON, and what it counts towards the turn's output bound."""

    event: AnyEvent
    json: bytes
    weight_bytes: int


def check_output(item: Any, kinds: tuple[type[Event], ...] = AGENT_EVENTS) -> Output:
    """Turn what an agent sent into an event; raises TurnError for anything else.

    Text weighs its UTF-8 bytes, a tool event its JSON.
    """
    # str.__str__: a subclass, such as a safe string of a template, is text like any other.
    event = Token(str.__str__(item)) if isinstance(item, str) else item
    if type(event) not in kinds:
        if isinstance(event, (Nested, Handoff)):
            return _check_placed(event)
        log.error("an agent sent %s, which is neither text nor an event of its own", type(item))
        raise TurnError("The agent sent something that is neither text nor an event of its own.")
    try:
        json = encode_json(event)
        if isinstance(event, (Token, Thinking, Status)):
            # Checked by hand: decoding every token again would cost as much as the rest.
            if not isinstance(event.content, str):
                raise TurnError("The agent sent an event whose content is not text.")
            if type(event.content) is not str:  # one that would escape what it is joined with
                event = type(event)(str.__str__(event.content))
            return Output(event, json, len(event.content.encode("utf-8", "replace")))
        decoded = decode_event(json)
        check_depth(msgspec.to_builtins(decoded))
        return Output(decoded, json, len(json))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        log.error("an agent sent %s with data that is not JSON: %s", type(item), error)  # noqa: TRY400 - the traceback is of this check, not of the agent
        raise TurnError("The agent sent an event with data that is not JSON.") from error


def _check_placed(event: Nested | Handoff) -> Output:
    """Check an event that names its agent."""
    within = event if isinstance(event, Handoff) else event.event
    checked = check_output(Status(within.content) if isinstance(within, Handoff) else within)
    agent = check_name(event.agent)
    placed: AnyEvent
    if isinstance(event, Handoff):
        placed = Handoff(str(event.content), agent)
    else:
        placed = structs.replace(event, parent=check_name(event.parent), event=checked.event)
    return Output(placed, encode_event(placed), checked.weight_bytes)


def check_name(name: object) -> str:
    """Check the name of an agent, or the id of a call that events lie below; raises TurnError."""
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS:
        return str.__str__(name)
    raise TurnError(f"An agent's name and its call's id are 1 to {MAX_NAME_CHARS} characters.")


def send_answer(
    answer: Any,
    emit: Callable[[Any], None],
    run_async: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Send all that an agent's call returned: nothing, one item, or any kind of iterable.

    Asynchronous ones run by ``run_async``. A generator is closed whatever happens, so that the
    agent's ``finally`` runs. Raises TurnError for anything else, and what ``emit`` raises.
    """
    if answer is None:
        return
    if isinstance(answer, (str, *AGENT_EVENTS)):
        emit(answer)
    elif isinstance(answer, (AsyncIterable, Awaitable)):
        run_async(_send_async(answer, emit))
    elif isinstance(answer, Iterable) and not isinstance(answer, (bytes, Mapping)):
        with _closing(answer):
            for item in answer:
                emit(item)
    else:
        log.error("an agent returned %s, which is neither text nor iterable", type(answer))
        raise TurnError("The agent returned something that is neither text nor an iterable.")


async def _send_async(
    answer: AsyncIterable[Any] | Awaitable[Any], emit: Callable[[Any], None]
) -> None:
    if isinstance(answer, AsyncIterable):
        try:
            async for item in answer:
                emit(item)
        finally:
            close = getattr(answer, "aclose", None)
            if close is not None:
                await close()
        return
    result = await answer
    if isinstance(result, AsyncIterable):
        await _send_async(result, emit)
    elif result is not None:
        emit(result)


def _closing(answer: Iterable[Any]) -> contextlib.AbstractContextManager[Any]:
    return contextlib.closing(answer) if hasattr(answer, "close") else contextlib.nullcontext()
