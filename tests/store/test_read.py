"""read: cursors, pieces, and what is no longer kept."""

from __future__ import annotations

import pytest

from tests.store.steps import (
    ALL,
    KEY,
    START,
    MakeStore,
    end,
    enqueue,
    events,
    ids,
    run_turn,
    start,
)
from wsgi_app.events import LOST_SEQ, EventId
from wsgi_app.store.base import MAX_READ_BYTES, JournalSlice, Store, StoreLimits


def read(store: Store, after: str, max_events: int = ALL) -> JournalSlice:
    """Read a session that is there."""
    found = store.read(KEY, EventId.parse(after), max_events)
    assert found is not None
    return found


def summary(found: JournalSlice) -> tuple[list[str], bool, int | None]:
    """Ids, ``has_gap`` and ``live_turn``."""
    return [str(place) for place, _ in found.events], found.has_gap, found.live_turn


def test_unknown_session_reads_nothing(store: Store) -> None:
    """A session that is not there reads as None, also after it was deleted."""
    assert store.read(KEY, START, 1) is None
    run_turn(store)
    store.delete_session(KEY)
    assert store.read(KEY, START, 1) is None


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("0-0", ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2"]),
        ("0-7", ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2"]),
        ("1-0", ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2"]),
        ("1-1", ["1-2", "2-1", "2-2", "3-1", "3-2"]),
        ("1-2", ["2-1", "2-2", "3-1", "3-2"]),
        ("1-9", ["2-1", "2-2", "3-1", "3-2"]),
        ("2-0", ["2-1", "2-2", "3-1", "3-2"]),
        ("3-1", ["3-2"]),
        ("3-2", []),
        ("3-1000000000", []),
    ],
)
def test_reads_what_is_after_the_cursor(store: Store, after: str, expected: list[str]) -> None:
    """A read gives all that is stored behind its cursor, over the turns' ends, missing nothing."""
    for _ in range(3):
        run_turn(store, count=2)
    found = read(store, after)
    assert summary(found) == (expected, False, None)
    assert found.newest_turn == 3


def test_pieces_have_neither_hole_nor_double(store: Store) -> None:
    """Reads in pieces, each from the last id of the one before, give everything once."""
    for count in (3, 1, 4, 2):
        run_turn(store, count=count)
    store.append(start(store), 1, events(1, 5))
    for size in (1, 2, 3, 7, 100):
        cursor, pieces = "0-0", []
        while places := summary(read(store, cursor, size))[0]:
            assert len(places) <= size
            assert read(store, cursor, size).live_turn == 5
            pieces += places
            cursor = places[-1]
        assert pieces == ids(store)


def test_running_turn_is_live(store: Store) -> None:
    """A running turn is named, behind what is stored of it."""
    run_turn(store)
    fence = start(store)
    assert summary(read(store, "0-0")) == (["1-1"], False, 2)
    store.append(fence, 1, events(1, 2))
    assert summary(read(store, "0-0")) == (["1-1", "2-1", "2-2"], False, 2)
    assert summary(read(store, "2-2")) == ([], False, 2)


def test_cursor_ahead_of_running_turn_waits(store: Store) -> None:
    """A cursor ahead of a running turn's journal has missed nothing: what it saw will be stored."""
    fence = start(store)
    store.append(fence, 1, events(1, 2))
    assert summary(read(store, "1-7")) == ([], False, 1)
    store.append(fence, 3, events(3, 9))
    assert summary(read(store, "1-7")) == (["1-8", "1-9"], False, 1)


def test_read_stops_at_first_unended_turn(store: Store) -> None:
    """Nothing behind a turn that has not ended is read, unless the cursor is behind it."""
    running, waiting, last = start(store), enqueue(store), enqueue(store)
    store.append(running, 1, events(1, 2))
    end(store, waiting)
    assert summary(read(store, "0-0")) == (["1-1", "1-2"], False, 1)
    assert summary(read(store, "1-2")) == ([], False, 1)
    assert summary(read(store, "2-0")) == (["2-1"], False, 3)
    assert summary(read(store, "3-0")) == ([], False, 3)
    assert store.finish(running, 3, events(3, 3), []) == 3
    assert summary(read(store, "1-2")) == (["1-3", "2-1"], False, 3)
    end(store, last)
    assert summary(read(store, "1-2")) == (["1-3", "2-1", "3-1"], False, None)


def test_cursor_above_newest_turn_missed(store: Store) -> None:
    """A cursor above the newest turn is of another session: it missed, and gets all there is."""
    run_turn(store, count=2)
    assert summary(read(store, "2-0")) == (["1-1", "1-2"], True, None)
    assert summary(read(store, "9-5", 1)) == (["1-1"], True, None)
    start(store)
    assert summary(read(store, "3-1")) == (["1-1", "1-2"], True, 2)


def test_dropped_turns_are_missed(make_store: MakeStore) -> None:
    """A cursor before the end of what was dropped has missed events; one behind it has not."""
    store = make_store(StoreLimits(journal_bytes=10))
    for count in (3, 2, 2):
        run_turn(store, count=count)
    kept = ["3-1", "3-2"]
    assert summary(read(store, "0-0")) == (kept, False, None)
    for after in ("1-0", "1-3", "2-0", "2-1"):
        assert summary(read(store, after)) == (kept, True, None), after
    for after in ("2-2", "2-1000000000", "3-0"):
        assert summary(read(store, after)) == (kept, False, None), after


def test_missed_before_a_live_turn(make_store: MakeStore) -> None:
    """A cursor of a dropped turn has missed events also when the kept ones are running."""
    store = make_store(StoreLimits(journal_bytes=10))
    run_turn(store, count=2)
    run_turn(store)
    store.append(start(store), 1, events(1, 1))
    assert summary(read(store, "1-1")) == (["2-1", "3-1"], True, 3)


def test_lost_turn_ends_at_its_own_seq(store: Store) -> None:
    """A lost turn's terminal event comes behind all that its readers can have seen."""
    fence = start(store)
    store.append(fence, 1, events(1, 2))
    assert store.mark_lost("worker", b'{"type":"error"}') == [fence]
    lost = f"1-{LOST_SEQ}"
    assert summary(read(store, "0-0")) == (["1-1", "1-2", lost], False, None)
    assert read(store, "1-57").events == [(EventId(1, LOST_SEQ), b'{"type":"error"}')]
    assert summary(read(store, lost)) == ([], False, None)
    run_turn(store)
    assert summary(read(store, "1-57")) == ([lost, "2-1"], False, None)
    assert summary(read(store, lost)) == (["2-1"], False, None)


def test_lost_event_counts_in_pieces(store: Store) -> None:
    """The terminal event of a lost turn takes its place in a piece like any other."""
    store.append(start(store), 1, events(1, 2))
    store.mark_lost("worker", b"{}")
    run_turn(store)
    assert summary(read(store, "0-0", 2))[0] == ["1-1", "1-2"]
    assert summary(read(store, "0-0", 3))[0] == ["1-1", "1-2", f"1-{LOST_SEQ}"]
    assert summary(read(store, "1-2", 1))[0] == [f"1-{LOST_SEQ}"]
    assert summary(read(store, "1-2", 2))[0] == [f"1-{LOST_SEQ}", "2-1"]


def test_dropped_lost_turn_is_missed(make_store: MakeStore) -> None:
    """Of a lost turn that was dropped, only who has seen its end has missed nothing."""
    store = make_store(StoreLimits(journal_bytes=10))
    store.append(start(store), 1, events(1, 2))
    store.mark_lost("worker", b"{}")
    run_turn(store)
    assert summary(read(store, "1-2")) == (["2-1"], True, None)
    assert summary(read(store, f"1-{LOST_SEQ}")) == (["2-1"], False, None)


def test_a_read_is_bounded_in_bytes(store: Store) -> None:
    """Large events come in pieces, each event once, one that is too large alone."""
    sizes = [10, 60_000, 60_000, 300_000, 5, *[60_000] * 9, 20]
    made = [b'"' + b"x" * size + b'"' for size in sizes]
    fences = [start(store)]
    store.append(fences[0], 1, made)
    end_seq = len(made) + 1
    assert store.finish(fences[0], end_seq, [b"{}"], []) == end_seq
    fences.append(start(store))
    store.append(fences[1], 1, made)
    store.mark_lost("worker", b'"lost"')
    place, rows = START, []
    while piece := read(store, str(place)).events:
        total = sum(len(json) for _, json in piece)
        assert total <= MAX_READ_BYTES + len(b'"lost"') or len(piece) == 1
        rows += piece
        place = piece[-1][0]
    expected = [*made, b"{}", *made, b'"lost"']
    assert [json for _, json in rows] == expected
    assert [place.seq for place, _ in rows] == [
        *range(1, end_seq + 1),
        *range(1, end_seq),
        LOST_SEQ,
    ]


def test_a_mark_of_another_run_reads_all(store: Store) -> None:
    """A place in a turn of another run is none, though its number is known: all is read.

    Without a mark it is taken for this run's, and one of its own mark reads on.
    """
    before = start(store)
    store.finish(before, 1, events(1, 5), [])
    mark = read(store, "0-0").marks[1]
    store.delete_session(KEY)
    run_turn(store, count=6)
    assert summary(read(store, "1-5")) == (["1-6"], False, None)
    found = store.read(KEY, EventId(1, 5), ALL, mark)
    assert found is not None
    assert summary(found) == ([f"1-{seq}" for seq in range(1, 7)], True, None)
    own = store.read(KEY, EventId(1, 5), ALL, found.marks[1])
    assert own is not None
    assert summary(own) == (["1-6"], False, None)


def test_a_read_returns_the_marks_of_what_it_reads(store: Store) -> None:
    """Each turn that it has events of, and the newest, which may have none yet."""
    ended, fence = start(store), None
    store.finish(ended, 1, events(1, 2), [])
    fence = start(store)
    assert read(store, "1-0").marks == {1: ended.mark, 2: fence.mark}
    assert read(store, "2-0").marks == {2: fence.mark}
