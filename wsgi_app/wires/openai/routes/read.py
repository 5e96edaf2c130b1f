"""Responses that are there: read, streamed again, cancelled, forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeVar

from flask import Response, request

from wsgi_app.delivery.feed import Feed
from wsgi_app.errors import RequestError
from wsgi_app.events import EventId, NumberedEvent
from wsgi_app.frames.sse import KEEP_ALIVE_BLOCK
from wsgi_app.store.base import SessionKey, SessionState, SessionView
from wsgi_app.web.body import read_body
from wsgi_app.web.current import session_key
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import batch_seconds, query_value
from wsgi_app.web.respond import stream_response
from wsgi_app.web.turns import OpenTurn, attach_turn
from wsgi_app.wires.openai.encode.document import ResponseAbout
from wsgi_app.wires.openai.encode.items import Item, StreamEvent
from wsgi_app.wires.openai.encode.response_stream import DONE, ResponseEncoder
from wsgi_app.wires.openai.encode.responses import ResponseBuilder
from wsgi_app.wires.openai.ids import PartRef, ResponseRef
from wsgi_app.wires.openai.request.messages import bad_request
from wsgi_app.wires.openai.request.responses import ItemLimit, ResponseNote, SequenceNumber
from wsgi_app.wires.openai.routes.turns import files_url, model_name, until_end

#: How long a stream waits for what its reader has seen already, on a worker that hears of it late.
CATCH_UP_SECONDS: Final = 2.0
State = TypeVar("State", bound=SessionState)


def find_response(mount: Mount, response_id: str) -> tuple[ResponseRef, SessionState]:
    """Find a response of this tenant, and its session; raises RequestError ``not_found``."""
    return _find(response_id, mount.store.state_of)


def find_with_history(mount: Mount, response_id: str) -> tuple[ResponseRef, SessionView]:
    """Find a response, and its session with its messages; raises RequestError ``not_found``."""
    return _find(response_id, mount.store.history)


def _find(
    response_id: str, look: Callable[[SessionKey], State | None]
) -> tuple[ResponseRef, State]:
    try:
        ref = ResponseRef.parse(response_id)
    except ValueError:
        raise _not_found() from None
    state = look(session_key(ref.session_id))
    if state is None or state.turn < ref.turn:
        raise _not_found()
    return ref, state


def snapshot(mount: Mount, ref: ResponseRef, view: SessionState | None = None) -> ResponseBuilder:
    """Put together what there is of a response now; raises RequestError ``not_found``.

    ``view``: its session, from which the document has the time of its end.
    """
    builder = ResponseBuilder(ref, _about(mount, ref, view))
    feed = _feed(mount, ref)
    try:
        while not builder.ended and (events := feed.read(0)):
            for numbered in events:
                builder.take(numbered)
    finally:
        feed.close()
    if builder.has_gap:
        raise _not_found()
    return builder


def stream_from(
    opened: OpenTurn, encoder: ResponseEncoder, opening: bytes, batch_seconds: float
) -> Response:
    """Stream a response; ``opening`` is what is due before the reader's next event."""
    encode = until_end(opened.reader, encoder)
    if encoder.ended:
        opened.reader.finish()
    return stream_response(
        opened, encode, batch_seconds, opening=opening, keep_alive=KEEP_ALIVE_BLOCK
    )


def get_response(mount: Mount, response_id: str) -> Response:
    """GET /v1/responses/<response_id>: the response as it is now, or its stream."""
    ref, view = find_response(mount, response_id)
    if request.args.get("stream") != "true":
        return json_response(snapshot(mount, ref, view).document())
    after = query_value(request, "starting_after", SequenceNumber, -1)
    return _stream_again(mount, ref, view, after, batch_seconds(request))


def post_response_cancel(mount: Mount, response_id: str) -> Response:
    """POST /v1/responses/<response_id>/cancel: end the response's turn."""
    read_body(request, mount.settings.max_body_bytes)
    ref, view = find_response(mount, response_id)
    if ref.turn in view.active_turns:
        mount.cancel(session_key(ref.session_id), ref.turn)
    found = snapshot(mount, ref, view)
    if ref.turn not in view.active_turns and found.status != "cancelled":
        # Not 409, which the SDKs would send again.
        raise bad_request("response_id", "This response has ended already")
    return json_response(found.document())


def delete_response(mount: Mount, response_id: str) -> Response:
    """DELETE /v1/responses/<response_id>: forget the conversation that it is the newest of."""
    ref, view = find_response(mount, response_id)
    if view.turn != ref.turn:
        raise bad_request("response_id", "The conversation has gone on; delete its newest response")
    mount.delete_session(session_key(ref.session_id))
    return json_response({"id": ref.id, "object": "response", "deleted": True})


def _about(mount: Mount, ref: ResponseRef, view: SessionState | None) -> ResponseAbout:
    is_newest = view is not None and view.turn == ref.turn
    ended_at = int(view.updated_at) if view is not None and is_newest else None
    echo = None if view is None else find_note(mount, ref).echo
    return ResponseAbout(model_name(mount), echo, lambda: ended_at, files_url())


def find_note(mount: Mount, ref: ResponseRef) -> ResponseNote:
    """What is kept of the request that began the response's turn."""
    return ResponseNote.read(mount.store.turn_note(session_key(ref.session_id), ref.turn))


def get_input_items(mount: Mount, response_id: str) -> Response:
    """GET /v1/responses/<response_id>/input_items: what the response's request said."""
    order = query_value(request, "order", Literal["asc", "desc"], "desc")
    limit = query_value(request, "limit", ItemLimit, 20)
    after = query_value(request, "after", str, "")
    ref, _ = find_response(mount, response_id)
    items = find_note(mount, ref).items
    if items is None:
        raise RequestError("not_found", "The input of this response is not kept.")
    named = [_with_id(item, ref, index) for index, item in enumerate(items)]
    if order == "desc":
        named.reverse()
    ids = [item["id"] for item in named]
    start = ids.index(after) + 1 if after in ids else 0
    shown = named[start : start + limit]
    found = {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + limit < len(named),
    }
    return json_response(found)


def _with_id(item: Item, ref: ResponseRef, index: int) -> Item:
    """An item of the input as lists of items have it."""
    document = {"type": "message", "id": PartRef(ref, "in", str(index)).id, **item}
    if document["type"] == "message":
        document.setdefault("status", "completed")
        if isinstance(document.get("content"), str):
            kind = "output_text" if document.get("role") == "assistant" else "input_text"
            document["content"] = [{"type": kind, "text": document["content"]}]
    return document


def _stream_again(
    mount: Mount, ref: ResponseRef, view: SessionState, after: int, batch_seconds: float
) -> Response:
    builder = ResponseBuilder(ref, _about(mount, ref, view))
    due = _catch_up(mount, ref, builder, after)
    if builder.has_gap:
        raise _not_found()
    key = session_key(ref.session_id)
    with attach_turn(mount, key, ref.turn, builder.seq) as opened:
        opening = b"".join(event.frame() for event in due) + (DONE if builder.ended else b"")
        return stream_from(opened, ResponseEncoder(builder, after), opening, batch_seconds)


def _catch_up(
    mount: Mount, ref: ResponseRef, builder: ResponseBuilder, after: int
) -> list[StreamEvent]:
    """Take what the reader has had; returns what else came of the last event taken.

    Event by event: merged text would not divide where the reader stopped.
    """
    with mount.permit(session_key(ref.session_id)) as may_wait:
        return _take_until(mount, ref, builder, after, CATCH_UP_SECONDS if may_wait else 0.0)


def _take_until(
    mount: Mount, ref: ResponseRef, builder: ResponseBuilder, after: int, wait_seconds: float
) -> list[StreamEvent]:
    due = [made for made in builder.opening() if made.number > after]
    if builder.next_number > after:
        return due
    feed = _feed(mount, ref)
    try:
        for numbered in read_until(feed, wait_seconds):
            due = [made for made in builder.take(numbered) if made.number > after]
            if builder.next_number > after or builder.ended:
                break
    finally:
        feed.close()
    return due


def read_until(feed: Feed, wait_seconds: float) -> Iterator[NumberedEvent]:
    """The events that are there, and those that come before the time is over."""
    deadline = time.monotonic() + wait_seconds
    while not feed.ended:
        left_seconds = max(0.0, deadline - time.monotonic())
        events = feed.read(left_seconds)
        if not events and not left_seconds:
            return
        yield from events


def _feed(mount: Mount, ref: ResponseRef) -> Feed:
    return Feed(mount.runner, session_key(ref.session_id), EventId(ref.turn, 0), ref.turn)


def _not_found() -> RequestError:
    return RequestError("not_found", "There is no such response.")
