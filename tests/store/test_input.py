"""open_input, post_input, take_input, close_input: one question at a time, one answer to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.store.steps import KEY, OTHER, end, enqueue, refused, run_turn, start
from wsgi_app.errors import Fenced
from wsgi_app.store.base import Fence, Store


def test_answer_reaches_the_turn(store: Store) -> None:
    """An answer is taken byte by byte as it was posted; before it there is nothing to take."""
    fence = start(store)
    store.open_input(fence, "q")
    assert store.take_input(fence, "q") is None
    value = bytes(range(256))
    store.post_input(KEY, "q", value)
    assert store.take_input(fence, "q") == value


def test_empty_answer_is_an_answer(store: Store) -> None:
    """An answer of no bytes is there to take, and is the only one."""
    fence = start(store)
    store.open_input(fence, "q")
    store.post_input(KEY, "q", b"")
    assert store.take_input(fence, "q") == b""
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"late")


def test_repeated_take_finds_the_answer(store: Store) -> None:
    """Taking is repeated when its reply was lost: the answer is still there."""
    fence = start(store)
    store.open_input(fence, "q")
    store.post_input(KEY, "q", b"1")
    assert [store.take_input(fence, "q") for _ in range(3)] == [b"1"] * 3


def test_question_takes_one_answer(store: Store) -> None:
    """A second answer, even an equal one, is refused before and after the first was taken."""
    fence = start(store)
    store.open_input(fence, "q")
    store.post_input(KEY, "q", b"1")
    for value in (b"1", b"2"):
        with refused("no_pending_input"):
            store.post_input(KEY, "q", value)
    assert store.take_input(fence, "q") == b"1"
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"1")


def test_repeated_open_keeps_the_answer(store: Store) -> None:
    """A question that is opened again, as its first reply was lost, keeps its answer."""
    fence = start(store)
    store.open_input(fence, "q")
    store.post_input(KEY, "q", b"1")
    store.open_input(fence, "q")
    assert store.take_input(fence, "q") == b"1"


def test_only_the_pending_question_is_answered(store: Store) -> None:
    """There is nothing to answer without a session, a question, or with another question's id."""
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"1")
    fence = start(store)
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"1")
    store.open_input(fence, "q")
    for key, request_id in ((KEY, "other"), (OTHER, "q"), (KEY._replace(tenant="rival"), "q")):
        with refused("no_pending_input"):
            store.post_input(key, request_id, b"1")
    assert store.take_input(fence, "q") is None


def test_new_question_replaces_the_old_one(store: Store) -> None:
    """The next question takes the place of the one before, with its answer."""
    fence = start(store)
    store.open_input(fence, "first")
    store.post_input(KEY, "first", b"1")
    store.open_input(fence, "second")
    assert store.take_input(fence, "first") is None
    assert store.take_input(fence, "second") is None
    with refused("no_pending_input"):
        store.post_input(KEY, "first", b"1")
    store.post_input(KEY, "second", b"2")
    assert store.take_input(fence, "second") == b"2"


def test_closed_question_cannot_be_answered(store: Store) -> None:
    """A withdrawn question is refused, and the answer that came meanwhile is dropped."""
    fence = start(store)
    store.open_input(fence, "q")
    store.close_input(fence, "q")
    store.close_input(fence, "q")
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"1")
    store.open_input(fence, "r")
    store.post_input(KEY, "r", b"1")
    store.close_input(fence, "r")
    assert store.take_input(fence, "r") is None


def test_closing_another_question_does_nothing(store: Store) -> None:
    """Only the question of this id is withdrawn, and only by its own turn."""
    ended, fence = run_turn(store), start(store)
    store.open_input(fence, "q")
    store.close_input(fence, "other")
    store.close_input(ended, "q")
    store.post_input(KEY, "q", b"1")
    assert store.take_input(fence, "q") == b"1"


@pytest.mark.parametrize("how", ["finish", "mark_lost", "delete"])
def test_turns_end_closes_its_question(store: Store, how: str) -> None:
    """When a turn has ended, in whatever way, there is nothing left to answer."""
    fence = start(store)
    store.open_input(fence, "q")
    ways: dict[str, Callable[[], object]] = {
        "finish": lambda: end(store, fence),
        "mark_lost": lambda: store.mark_lost("worker", b"{}"),
        "delete": lambda: store.delete_session(KEY),
    }
    ways[how]()
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"1")
    start(store)
    with refused("no_pending_input"):
        store.post_input(KEY, "q", b"1")


def test_end_of_waiting_turn_keeps_the_question(store: Store) -> None:
    """The end of a queued turn leaves the running turn's question open."""
    fence, waiting = start(store), enqueue(store)
    store.open_input(fence, "q")
    end(store, waiting)
    store.post_input(KEY, "q", b"1")
    assert store.take_input(fence, "q") == b"1"


@pytest.mark.parametrize(
    "write",
    [
        lambda store, fence: store.open_input(fence, "q"),
        lambda store, fence: store.take_input(fence, "q"),
    ],
    ids=["open_input", "take_input"],
)
def test_only_the_running_turn_asks(store: Store, write: Callable[[Store, Fence], Any]) -> None:
    """Turns that ended or wait, and foreign runs, neither ask nor take."""
    ended, running, waiting = run_turn(store), start(store), enqueue(store)
    store.open_input(running, "pending")
    for fence in (ended, waiting, running._replace(run_id="other")):
        with pytest.raises(Fenced):
            write(store, fence)
    store.post_input(KEY, "pending", b"1")
    assert store.take_input(running, "pending") == b"1"
