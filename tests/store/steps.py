"""The steps that tests of stores are made of."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import pytest

from wsgi_app.errors import RequestError
from wsgi_app.events import EventId
from wsgi_app.store.base import (
    BeginTurn,
    Fence,
    Message,
    SessionKey,
    SessionView,
    Signal,
    StartRate,
    Store,
    StoreLimits,
)

MakeStore = Callable[[StoreLimits], Store]
IfBusy = Literal["reject", "enqueue", "interrupt"]

KEY = SessionKey("acme", "s-1")
OTHER = SessionKey("acme", "s-2")
START = EventId(0, 0)
ALL = 1_000_000

_run_numbers = itertools.count(1)


def request(  # noqa: PLR0913 - the fields of a BeginTurn, each with a default
    key: SessionKey = KEY,
    *,
    run_id: str | None = None,
    worker_id: str = "worker",
    message: str = "hello",
    if_busy: IfBusy = "reject",
    idempotency_key: str | None = None,
    digest: str = "digest",
    regenerates: bool = False,
    rate: StartRate | None = None,
) -> BeginTurn:
    """Ask for a turn, by default with a run id of its own."""
    return BeginTurn(
        key=key,
        run_id=run_id or f"run-{next(_run_numbers)}",
        worker_id=worker_id,
        message=message,
        if_busy=if_busy,
        regenerates=regenerates,
        idempotency_key=idempotency_key,
        request_digest=digest,
        rate=rate,
    )


def fence_of(order: BeginTurn, turn: int) -> Fence:
    """The fence of a turn that this request began."""
    return Fence(order.key, turn, order.run_id)


def start(
    store: Store, key: SessionKey = KEY, *, worker_id: str = "worker", message: str = "hello"
) -> Fence:
    """Begin a turn of an idle session."""
    order = request(key, worker_id=worker_id, message=message)
    begun = store.begin_turn(order)
    assert begun.state == "started"
    return fence_of(order, begun.turn)


def enqueue(
    store: Store,
    key: SessionKey = KEY,
    *,
    worker_id: str = "worker",
    message: str = "next",
    if_busy: IfBusy = "enqueue",
) -> Fence:
    """Begin a turn of a busy session."""
    order = request(key, worker_id=worker_id, message=message, if_busy=if_busy)
    begun = store.begin_turn(order)
    assert begun.state == "queued"
    assert begun.history == []
    return fence_of(order, begun.turn)


def events(first: int, last: int) -> list[bytes]:
    """Tokens that tell their seq."""
    return [b'{"type":"token","content":"%d"}' % seq for seq in range(first, last + 1)]


def end(store: Store, fence: Fence, count: int = 1, messages: Sequence[Message] = ()) -> None:
    """Finish a turn whose journal is empty, with ``count`` events."""
    assert store.finish(fence, 1, events(1, count), messages) == count


def run_turn(store: Store, key: SessionKey = KEY, count: int = 1, reply: str = "") -> Fence:
    """Begin and end a turn of an idle session."""
    fence = start(store, key)
    end(store, fence, count, [{"role": "assistant", "content": reply}] if reply else ())
    return fence


def ids(store: Store, after: EventId = START, key: SessionKey = KEY) -> list[str]:
    """The ids of what is stored after a cursor; a read is bounded in bytes."""
    places: list[EventId] = []
    while True:
        found = store.read(key, places[-1] if places else after, ALL)
        assert found is not None
        if not found.events:
            return [str(place) for place in places]
        places += [place for place, _ in found.events]


def contents(store: Store, key: SessionKey = KEY) -> list[str]:
    """The texts of a session's messages."""
    view = store.history(key)
    assert view is not None
    return [message["content"] for message in view.messages]


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Expect a RequestError of this code."""
    with pytest.raises(RequestError) as caught:
        yield
    assert caught.value.code == code


class Signals:
    """A listener that keeps what it hears. Heard on threads of the store; ``list`` is atomic."""

    def __init__(self, store: Store, worker_id: str = "") -> None:
        self.heard: list[Signal] = []
        store.listen(self.heard.append, worker_id)

    def has(self, *expected: Signal) -> bool:
        """Whether all of these came."""
        return all(signal in self.heard for signal in expected)


def at_once(actions: Sequence[Callable[[], object]]) -> list[object]:
    """Run each action in a thread of its own, all released together.

    Answers in the actions' order what they returned or raised, but for None.
    """
    barrier = threading.Barrier(len(actions))
    outcomes: list[object] = [None] * len(actions)

    def run(place: int) -> None:
        barrier.wait(30)
        try:
            outcomes[place] = actions[place]()
        except Exception as error:  # noqa: BLE001 - the outcome, for the test to judge
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a store operation hangs"
    return [outcome for outcome in outcomes if outcome is not None]


def describe(store: Store, key: SessionKey = KEY) -> SessionView:
    """Describe a session that is there."""
    view = store.history(key)
    assert view is not None
    return view


def listed(store: Store, limit: int, cursor: str | None = None) -> tuple[list[str], str | None]:
    """Names of the sessions on a page, and the cursor behind it."""
    page = store.list_sessions(KEY.tenant, limit, cursor)
    return [view.session_id for view in page.sessions], page.next_cursor
