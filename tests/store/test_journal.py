"""append and finish: what is written, skipped, fenced and trimmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.store.steps import (
    ALL,
    KEY,
    OTHER,
    START,
    MakeStore,
    contents,
    end,
    enqueue,
    events,
    ids,
    request,
    run_turn,
    start,
)
from wsgi_app.errors import Fenced
from wsgi_app.events import EventId
from wsgi_app.store.base import Appended, Fence, Message, Store, StoreLimits, TurnBegun


def stored(store: Store, turn: int = 1) -> list[bytes]:
    """What a turn's journal holds, read from its start."""
    found = store.read(KEY, EventId(turn, 0), ALL)
    assert found is not None
    assert [place.seq for place, _ in found.events] == list(range(1, len(found.events) + 1))
    return [json for _, json in found.events]


# -- append


def test_append_adds_in_order(store: Store) -> None:
    """Events are stored in order, numbered from 1, byte by byte as given."""
    fence = start(store)
    odd = [b"{}", '{"content":"Grüße\u2028🙂"}'.encode(), b'{"x":"\\u0000\\n"}', b'{"n":1.0e5}']
    assert store.append(fence, 1, odd[:1]) == Appended(1, None)
    assert store.append(fence, 2, odd[1:]) == Appended(4, None)
    assert stored(store) == odd


def test_empty_append_returns_the_state(store: Store) -> None:
    """An append of nothing changes nothing and tells the last stored seq."""
    fence = start(store)
    assert store.append(fence, 1, []) == Appended(0, None)
    store.append(fence, 1, events(1, 3))
    assert store.append(fence, 4, []) == Appended(3, None)


def test_repeated_append_doubles_nothing(store: Store) -> None:
    """An append that is repeated changes nothing and is answered as the first time."""
    fence = start(store)
    first = store.append(fence, 1, events(1, 3))
    assert store.append(fence, 1, events(1, 3)) == first
    assert stored(store) == events(1, 3)


@pytest.mark.parametrize(("first", "last"), [(1, 5), (2, 5), (3, 5), (4, 5), (2, 3), (1, 1)])
def test_overlap_adds_only_what_is_new(store: Store, first: int, last: int) -> None:
    """Of events that overlap what is stored, only those behind it are added."""
    fence = start(store)
    store.append(fence, 1, events(1, 3))
    assert store.append(fence, first, events(first, last)).last_seq == max(3, last)
    assert stored(store) == events(1, max(3, last))


def test_stored_event_stays(store: Store) -> None:
    """What is stored is not replaced by another event under its seq."""
    fence = start(store)
    store.append(fence, 1, events(1, 1))
    store.append(fence, 1, [b'{"other":1}'])
    assert stored(store) == events(1, 1)


def test_nothing_is_written_behind_a_hole(store: Store) -> None:
    """An append behind a hole writes nothing, and tells from where to send again."""
    fence = start(store)
    assert store.append(fence, 2, events(2, 3)).last_seq == 0
    store.append(fence, 1, events(1, 2))
    assert store.append(fence, 4, events(4, 9)).last_seq == 2
    assert stored(store) == events(1, 2)
    assert store.append(fence, 3, events(3, 9)).last_seq == 9


def _wrong_fences(store: Store) -> dict[str, Fence]:
    ended, running, waiting = run_turn(store), start(store), enqueue(store)
    return {
        "ended": ended,
        "waiting": waiting,
        "other run": running._replace(run_id="other"),
        "run of another turn": running._replace(turn=ended.turn),
        "above the newest while one runs": Fence(KEY, 9, "other"),
    }


WRONG = [
    "ended",
    "waiting",
    "other run",
    "run of another turn",
    "above the newest while one runs",
]


@pytest.mark.parametrize("what", WRONG)
def test_append_is_fenced(store: Store, what: str) -> None:
    """An append with a fence that is not the running turn's writes nothing."""
    fence = _wrong_fences(store)[what]
    before = ids(store), store.history(KEY)
    with pytest.raises(Fenced):
        store.append(fence, 1, events(1, 9))
    assert (ids(store), store.history(KEY)) == before


@pytest.mark.parametrize("what", [what for what in WRONG if what not in ("ended", "waiting")])
def test_finish_is_fenced(store: Store, what: str) -> None:
    """A finish with a fence that is not the session's ends nothing and writes nothing."""
    fence = _wrong_fences(store)[what]
    before = ids(store), store.history(KEY)
    with pytest.raises(Fenced):
        store.finish(fence, 1, events(1, 9), [{"role": "assistant", "content": "no"}])
    assert (ids(store), store.history(KEY)) == before


@pytest.mark.parametrize(
    "write",
    [
        lambda store, fence: store.append(fence, 1, events(1, 1)),
        lambda store, fence: store.finish(fence, 1, events(1, 1), []),
        lambda store, fence: store.open_input(fence, "q"),
        lambda store, fence: store.take_input(fence, "q"),
    ],
    ids=["append", "finish", "open_input", "take_input"],
)
def test_mark_lost_fences_the_worker(store: Store, write: Callable[[Store, Fence], Any]) -> None:
    """After `mark_lost` a worker that comes back can write nothing more to its turn."""
    fence = start(store)
    store.mark_lost("worker", b'{"type":"error"}')
    before = ids(store)
    with pytest.raises(Fenced):
        write(store, fence)
    assert ids(store) == before


# -- finish


def test_finish_ends_the_turn(store: Store) -> None:
    """A finish writes the last events and the messages, and the session is idle."""
    fence = start(store)
    store.append(fence, 1, events(1, 2))
    messages = [{"role": "assistant", "content": "hi"}]
    assert store.finish(fence, 3, events(3, 4), messages) == 4
    assert stored(store) == events(1, 4)
    view = store.history(KEY)
    assert view is not None
    assert view.active_turns == ()
    assert contents(store) == ["hello", "hi"]


def test_repeated_finish_changes_nothing(store: Store) -> None:
    """A finish that is repeated is answered as the first time, also while the next turn runs."""
    fence = start(store)
    messages = [{"role": "assistant", "content": "hi"}]
    assert store.finish(fence, 1, events(1, 2), messages) == 2
    assert store.finish(fence, 1, events(1, 2), messages) == 2
    start(store)
    assert store.finish(fence, 1, events(1, 2), messages) == 2
    assert stored(store) == events(1, 2)
    assert contents(store) == ["hello", "hi", "hello"]


def test_finish_overlaps(store: Store) -> None:
    """A finish skips what is stored already, like an append."""
    fence = start(store)
    store.append(fence, 1, events(1, 3))
    assert store.finish(fence, 2, events(2, 5), []) == 5
    assert stored(store) == events(1, 5)


def test_finish_behind_a_hole_ends_nothing(store: Store) -> None:
    """A finish behind a hole tells from where to send again, and the turn goes on."""
    fence = start(store)
    store.append(fence, 1, events(1, 1))
    assert store.finish(fence, 3, events(3, 4), [{"role": "assistant", "content": "hi"}]) == 1
    assert stored(store) == events(1, 1)
    assert contents(store) == ["hello"]
    assert store.append(fence, 2, events(2, 2)).last_seq == 2
    assert store.finish(fence, 3, events(3, 4), []) == 4


def test_queued_turn_may_be_finished(store: Store) -> None:
    """A queued turn may end where it waits: its end is kept, its messages are not."""
    running, waiting = start(store), enqueue(store)
    assert store.finish(waiting, 1, events(1, 1), [{"role": "assistant", "content": "no"}]) == 1
    assert stored(store, 2) == events(1, 1)
    assert store.append(running, 1, []).cancel is None
    end(store, running)
    assert contents(store) == ["hello"]
    assert start(store).turn == 3


# -- messages


def test_messages_come_back_as_equal_json(store: Store) -> None:
    """Messages come back as the JSON that they were: empty lists, big numbers, nulls and all."""
    message: Message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [],
        "extra": {},
        "numbers": [2**53 + 1, -0.5, 1e300, 0],
        "text": "Grüße\u2028\x00🙂</script>",
        "flags": [True, False, None],
        "nested": {"a": [[], {}, [{"b": []}]]},
    }
    end(store, start(store, message="🙂\x00\n\u2028"), 1, [message])
    user = {"role": "user", "content": "🙂\x00\n\u2028"}
    view = store.history(KEY)
    assert view is not None
    assert view.messages == [user, message]
    assert store.begin_turn(request()).history == [user, message]


def test_message_with_half_a_character_is_stored(store: Store) -> None:
    """Half a character, which UTF-8 has no form for, becomes the replacement character."""
    end(store, start(store, message="a\ud83d"), 1, [{"role": "assistant", "content": "\ude00b"}])
    assert contents(store) == ["a\ufffd", "\ufffdb"]


def test_message_that_is_not_json_changes_nothing(store: Store) -> None:
    """A message that JSON cannot hold is a TypeError, and the turn has not ended."""
    fence = start(store)
    with pytest.raises(TypeError):
        store.finish(fence, 1, events(1, 1), [{"role": "assistant", "content": object()}])
    assert stored(store) == []
    end(store, fence)


def test_store_keeps_its_own_copy(store: Store) -> None:
    """A caller that changes what it gave or got does not change what is stored."""
    message: Message = {"role": "assistant", "content": "hi", "parts": ["a"]}
    given = events(1, 1)
    fence = start(store)
    store.finish(fence, 1, given, [message])
    message["parts"] = []
    given.append(b"more")
    view = store.history(KEY)
    found = store.read(KEY, START, ALL)
    begun = store.begin_turn(request())
    assert view is not None
    assert found is not None
    for got in (view.messages, begun.history):
        got[1]["parts"].append("b")
        got.clear()
    found.events.clear()
    view = store.history(KEY)
    assert view is not None
    assert view.messages[1] == {"role": "assistant", "content": "hi", "parts": ["a"]}
    assert ids(store) == ["1-1"]


# -- bounds


def test_history_loses_whole_exchanges(make_store: MakeStore) -> None:
    """Above its bound the history loses old exchanges, each with all its messages."""
    store = make_store(StoreLimits(history_bytes=600))
    for number in range(1, 6):
        replies = [
            {"role": "assistant", "content": f"{number}-call"},
            {"role": "tool", "content": f"{number}-result"},
            {"role": "assistant", "content": f"{number}-" + "x" * 100},
        ]
        end(store, start(store, message=f"{number}-question"), 1, replies)
        kept = contents(store)
        assert kept[0].endswith("-question")
        assert len(kept) == 4 * min(number, 2)
        assert kept[-1].startswith(f"{number}-")


def test_newest_exchange_stays(make_store: MakeStore) -> None:
    """The newest exchange stays, however large; the next one sends it away."""
    store = make_store(StoreLimits(history_bytes=100))
    run_turn(store, reply="a" * 1000)
    assert contents(store) == ["hello", "a" * 1000]
    assert store.begin_turn(order := request(message="next")).history != []
    assert store.finish(Fence(KEY, 2, order.run_id), 1, events(1, 1), []) == 1
    assert contents(store) == ["next"]


def test_journal_loses_whole_turns(make_store: MakeStore) -> None:
    """Above its bound the journal loses old turns, each with all its events."""
    store = make_store(StoreLimits(journal_bytes=sum(map(len, events(1, 3))) * 2))
    for number in range(1, 5):
        run_turn(store, count=3)
        kept = [f"{turn}-{seq}" for turn in (number - 1, number) if turn for seq in (1, 2, 3)]
        assert ids(store) == kept


def test_ended_turn_stays_while_others_wait(make_store: MakeStore) -> None:
    """A turn above the bound stays when it ends, also with a newer one waiting or ended."""
    store = make_store(StoreLimits(journal_bytes=10))
    first, second, third = start(store), enqueue(store), enqueue(store)
    end(store, second)
    end(store, first, 5)
    assert ids(store) == [f"1-{seq}" for seq in range(1, 6)] + ["2-1"]
    assert store.finish(first, 1, events(1, 5), []) == 5
    assert store.claim_turn(third).state == "started"
    end(store, third)
    assert ids(store) == ["3-1"]
    assert start(store).turn == 4


def test_lost_turns_leave_the_journal_too(make_store: MakeStore) -> None:
    """The bound holds as well for a session whose turns are all lost with their workers."""
    store = make_store(StoreLimits(journal_bytes=10))
    for _ in range(3):
        store.append(start(store), 1, events(1, 2))
        store.mark_lost("worker", b'{"type":"error"}')
    assert ids(store) == ["3-1", "3-2", "3-1000000000"]


def test_run_id_is_forgotten_with_its_turn(make_store: MakeStore) -> None:
    """A finish that is repeated after its turn has left the journal is fenced."""
    store = make_store(StoreLimits(journal_bytes=10))
    fence = run_turn(store)
    run_turn(store)
    with pytest.raises(Fenced):
        store.finish(fence, 1, events(1, 1), [])


def test_key_outlives_its_turn(make_store: MakeStore) -> None:
    """An idempotency key attaches to its turn after that has left the journal."""
    store = make_store(StoreLimits(journal_bytes=10))
    store.begin_turn(order := request(idempotency_key="k"))
    end(store, Fence(KEY, 1, order.run_id))
    run_turn(store)
    assert store.begin_turn(request(idempotency_key="k")) == TurnBegun("attached", 1, [])


def test_sessions_have_journals_of_their_own(store: Store) -> None:
    """The bound and the numbers of one session's journal do not touch another's."""
    run_turn(store, OTHER, 3)
    run_turn(store, KEY, 1)
    assert ids(store, key=OTHER) == ["1-1", "1-2", "1-3"]
    assert ids(store) == ["1-1"]
