"""The list of a tenant's sessions: its order, its pages and its cursors."""

from __future__ import annotations

import base64

import pytest

from tests.store.steps import (
    KEY,
    OTHER,
    describe,
    enqueue,
    listed,
    run_turn,
    start,
)
from wsgi_app.store.base import SessionKey, Store


def make_sessions(store: Store, *names: str) -> None:
    """Make sessions, one after the other."""
    for name in names:
        run_turn(store, SessionKey(KEY.tenant, name))


def test_list_of_nothing(store: Store) -> None:
    """A tenant without sessions has an empty list, whatever others have."""
    start(store, SessionKey("rival", "s-1"))
    assert listed(store, 10) == ([], None)


def test_newest_sessions_come_first(store: Store) -> None:
    """Sessions are listed by creation, newest first, however old their last write is."""
    make_sessions(store, "a", "c", "b", "a")
    assert listed(store, 10) == (["b", "c", "a"], None)


def test_a_sessions_state_is_its_historys(store: Store) -> None:
    """A session is listed, and described without its messages, as with them."""
    run_turn(store, reply="hi")
    start(store)
    enqueue(store)
    view, state = describe(store), store.state_of(KEY)
    assert store.list_sessions(KEY.tenant, 1, None).sessions == [state]
    for name in ("session_id", "turn", "active_turns", "owner", "created_at", "updated_at"):
        assert getattr(state, name) == getattr(view, name), name
    assert store.state_of(OTHER) is None
    assert store.history(OTHER) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_have_neither_hole_nor_double(store: Store, limit: int) -> None:
    """Pages of any size give every session once, and the last one has no cursor."""
    names = [f"s-{number}" for number in range(7)]
    make_sessions(store, *names)
    found, cursor = listed(store, limit)
    while cursor is not None:
        page, cursor = listed(store, limit, cursor)
        assert page
        found += page
    assert found == names[::-1]


def test_pages_are_stable(store: Store) -> None:
    """Sessions that come, go or are written to between two pages do not shift the next one."""
    make_sessions(store, "a", "b", "c", "d", "e")
    first, cursor = listed(store, 2)
    assert first == ["e", "d"]
    make_sessions(store, "new", "b")
    store.delete_session(SessionKey(KEY.tenant, "d"))
    store.delete_session(SessionKey(KEY.tenant, "c"))
    assert listed(store, 2, cursor) == (["b", "a"], None)


def test_session_made_again_is_new(store: Store) -> None:
    """A session that was deleted and made again is listed by its second creation."""
    make_sessions(store, "a", "b")
    store.delete_session(SessionKey(KEY.tenant, "a"))
    make_sessions(store, "a")
    assert listed(store, 10) == (["a", "b"], None)


BAD_TEXTS = [
    "",
    " ",
    "1.5",
    "x y",
    "nan s-1",
    "inf s-1",
    "-inf s-1",
    "1_0.5 s-1",
    " 1.5 s-1",
    "1e400 s-1",
    "\x00",
]

BAD_CURSORS = [
    "",
    "x",
    "0",
    "====",
    "not base64!",
    "über",
    "\ud800",
    "\x00",
    "A" * 100_000,
    base64.urlsafe_b64encode(b"\xff\xfe s-1").decode(),
    base64.urlsafe_b64encode(b"1.5 \xff").decode(),
    *(base64.urlsafe_b64encode(text.encode()).decode() for text in BAD_TEXTS),
]


@pytest.mark.parametrize("cursor", BAD_CURSORS, ids=range(len(BAD_CURSORS)))
def test_bad_cursor_is_a_value_error(store: Store, cursor: str) -> None:
    """A cursor that no list has given is a ValueError, whatever it is made of."""
    make_sessions(store, "a", "b")
    with pytest.raises(ValueError):  # noqa: PT011 - its text is no part of the contract
        store.list_sessions(KEY.tenant, 1, cursor)


def test_changed_cursor_is_a_value_error(store: Store) -> None:
    """A real cursor with something before or behind it, or cut, is none."""
    make_sessions(store, "a", "b")
    cursor = listed(store, 1)[1]
    assert cursor is not None
    for bad in (
        cursor + "x",
        cursor + "\n",
        "!" + cursor,
        cursor + "====",
        cursor[: len(cursor) // 2],
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - its text is no part of the contract
            store.list_sessions(KEY.tenant, 1, bad)
