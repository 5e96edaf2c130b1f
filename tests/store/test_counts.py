"""What is counted per tenant: starts, turns and sessions, exactly, however many come at once."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import pytest

from tests.store.steps import KEY, OTHER, MakeStore, at_once, refused, request, run_turn, start
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import Redis
from tests.support.waiting import wait_for
from wsgi_app.errors import RequestError
from wsgi_app.store.base import (
    Fence,
    SessionKey,
    StartCount,
    StartRate,
    Store,
    StoreLimits,
    TurnBegun,
)
from wsgi_app.store.refusals import TooManyStarts

SLOW = pytest.mark.slow
RATE = StartRate(20, 86_400)
THREADS = 32
PROCESSES = 4
#: Begins turns from threads of one process, once its standard input ends, and prints the outcomes.
BEGINNER = """
import json, sys
from functools import partial
from tests.store.steps import at_once, request
from wsgi_app.errors import RequestError
from wsgi_app.store.base import SessionKey, StartRate, StoreLimits
from wsgi_app.store.redis import RedisStore

url, process, limits, rate = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:])
store = RedisStore(url, StoreLimits(**limits), timeout_seconds=10)
store.ping()
print("ready", flush=True)
sys.stdin.read()
keys = [SessionKey("acme", f"s-{process}-{number}") for number in range(16)]
run_ids = [f"run-{process}-{key.session_id}" for key in keys]
rate = StartRate(*rate) if rate else None
orders = [request(key, run_id=run_id, rate=rate) for key, run_id in zip(keys, run_ids)]
begun = at_once([partial(store.begin_turn, order) for order in orders])
codes = [one.code if isinstance(one, RequestError) else one.state for one in begun]
print(json.dumps(codes))
"""


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    """A store whose limits are met by few."""
    return make_store(StoreLimits(max_turns_per_tenant=10, max_sessions_per_tenant=12))


@pytest.fixture
def roomy(make_store: MakeStore) -> Store:
    """A store that none but the rate limits."""
    return make_store(StoreLimits(max_turns_per_tenant=1000, max_sessions_per_tenant=1000))


def begin_rated(store: Store, tenant: str = "acme", rate: StartRate = RATE) -> TurnBegun:
    """Begin a turn in a new session."""
    return store.begin_turn(request(SessionKey(tenant, secrets.token_hex(8)), rate=rate))


def too_many(store: Store) -> StartCount:
    """The starts that are told to one who is refused for them."""
    with pytest.raises(TooManyStarts) as refusal:
        begin_rated(store)
    return refusal.value.starts


def test_as_many_starts_as_allowed(roomy: Store) -> None:
    """However many threads start at once, exactly the rate's number begins."""
    outcomes = at_once([partial(begin_rated, roomy) for _ in range(THREADS)])
    assert Counter(map(type, outcomes)) == {
        TurnBegun: RATE.amount,
        TooManyStarts: THREADS - RATE.amount,
    }
    starts = too_many(roomy)
    assert (starts.before, starts.current) == (0, RATE.amount)
    assert 0 < starts.current_left_seconds <= RATE.window_seconds
    assert len(roomy.list_sessions("acme", 100, None).sessions) == RATE.amount


def test_starts_are_counted_by_tenant_and_rate(roomy: Store) -> None:
    """A tenant's starts are nobody else's, and a changed rate counts again."""

    def current(tenant: str, rate: StartRate = RATE) -> int:
        starts = begin_rated(roomy, tenant, rate).starts
        assert starts is not None
        return starts.current

    assert [current("acme"), current("acme")] == [1, 2]
    assert current("other") == 1
    assert current("ac/me") == 1
    assert current("acme", StartRate(21, 86_400)) == 1
    assert start(roomy, SessionKey("acme", "unlimited")).turn == 1
    assert current("acme") == 3


def test_starts_slide_out_of_the_window(roomy: Store) -> None:
    """Those of the window before count by the share of it that is still covered, then no more."""
    rate = StartRate(4, 2)
    began = time.monotonic()
    for _ in range(rate.amount):
        begin_rated(roomy, rate=rate)
    outcomes: list[TurnBegun] = []

    def begins() -> bool:
        with suppress(TooManyStarts):
            outcomes.append(begin_rated(roomy, rate=rate))
        return len(outcomes) == 2

    wait_for(begins, "two starts leave the window")
    # At first a part of one, then of two.
    assert 1.25 * rate.window_seconds - 0.2 < time.monotonic() - began
    starts = outcomes[1].starts
    assert starts is not None
    assert (starts.before, starts.current) == (rate.amount, 2)
    assert starts.before_left_seconds <= 0.75 * rate.window_seconds
    assert starts.current_left_seconds == pytest.approx(starts.before_left_seconds, abs=0.01)


def test_start_that_comes_to_nothing_is_not_counted(store: Store) -> None:
    """Neither one that the session or the tenant's bounds refuse, nor one that attaches."""
    first = request(rate=RATE, idempotency_key="key")
    assert store.begin_turn(first).starts is not None
    for _ in range(RATE.amount + 1):
        with refused("session_busy"):
            store.begin_turn(request(rate=RATE))
        attached = store.begin_turn(request(rate=RATE, idempotency_key="key"))
        assert (attached.state, attached.starts) == ("attached", None)
    for _ in range(9):
        begin_rated(store)
    for _ in range(RATE.amount + 1):
        with refused("too_many_turns"):
            begin_rated(store)
    queued = store.begin_turn(request(SessionKey("other", "s-1"), rate=RATE))
    assert queued.starts is not None
    assert queued.starts.current == 1


def test_queued_turn_is_a_start(store: Store) -> None:
    """A turn that waits counts as one that runs."""
    store.begin_turn(request(rate=RATE))
    queued = store.begin_turn(request(rate=RATE, if_busy="enqueue"))
    assert queued.state == "queued"
    assert queued.starts is not None
    assert queued.starts.current == 2


def test_limited_request_attaches_but_begins_nothing(roomy: Store) -> None:
    """A tenant beyond its rate still finds the turn of its key; no other request begins one."""
    idle = SessionKey("acme", "idle")
    run_turn(roomy, idle)
    one = StartRate(1, 86_400)
    assert roomy.begin_turn(request(idempotency_key="key", rate=one)).state == "started"
    limited = request(idempotency_key="key", rate=one)
    assert roomy.begin_turn(limited)[:2] == ("attached", 1)
    with refused("session_busy"):
        roomy.begin_turn(request(rate=one, idempotency_key="another"))
    with refused("idempotency_key_reused"):
        roomy.begin_turn(request(idempotency_key="key", digest="other", rate=one))
    new = SessionKey("acme", "new")
    for key in (new, idle, KEY):
        for idempotency_key in (None, "unknown"):
            order = request(key, if_busy="enqueue", idempotency_key=idempotency_key, rate=one)
            with refused("rate_limited"):
                roomy.begin_turn(order)
    assert roomy.history(new) is None
    assert {view.session_id for view in roomy.list_sessions("acme", 9, None).sessions} == {
        "idle",
        KEY.session_id,
    }


def test_as_many_turns_and_sessions_as_allowed(store: Store) -> None:
    """However many threads begin at once, exactly the tenant's number of turns run."""
    keys = [SessionKey("acme", f"s-{number}") for number in range(THREADS)]
    outcomes = at_once([partial(store.begin_turn, request(key)) for key in keys])
    begun = [one for one in outcomes if isinstance(one, TurnBegun)]
    codes = Counter(one.code for one in outcomes if isinstance(one, RequestError))
    assert (len(begun), codes) == (10, {"too_many_turns": THREADS - 10})
    start(store, SessionKey("other", "s-1"))


def test_as_many_sessions_as_allowed(make_store: MakeStore) -> None:
    """However many threads make sessions at once, exactly the tenant's number is made."""
    store = make_store(StoreLimits(max_turns_per_tenant=1000, max_sessions_per_tenant=12))
    keys = [SessionKey("acme", f"s-{number}") for number in range(THREADS)]
    outcomes = at_once([partial(store.begin_turn, request(key)) for key in keys])
    codes = Counter(one.code for one in outcomes if isinstance(one, RequestError))
    assert codes == {"too_many_sessions": THREADS - 12}
    assert len(store.list_sessions("acme", 100, None).sessions) == 12


@pytest.mark.parametrize(
    ("limits", "rate", "allowed", "code"),
    [
        ({"max_turns_per_tenant": 10}, RATE, 10, "too_many_turns"),
        pytest.param({"max_turns_per_tenant": 10}, None, 10, "too_many_turns", marks=SLOW),
        pytest.param(
            {"max_turns_per_tenant": 99, "max_sessions_per_tenant": 12},
            None,
            12,
            "too_many_sessions",
            marks=SLOW,
        ),
        pytest.param({"max_turns_per_tenant": 99}, RATE, RATE.amount, "rate_limited", marks=SLOW),
    ],
)
def test_processes_share_the_counts(
    redis: Redis, limits: dict[str, int], rate: StartRate | None, allowed: int, code: str
) -> None:
    """Threads of several processes together begin and count exactly what is allowed."""
    command = [sys.executable, "-c", BEGINNER, redis.url]
    processes = [
        subprocess.Popen(
            [*command, str(number), json.dumps(limits), json.dumps(rate)],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # all begin at once
        process.stdin = None
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    states = Counter(state for codes in answers for state in codes)
    assert states == {"started": allowed, code: 16 * PROCESSES - allowed}


def asking(store: Store, count: int) -> list[Fence]:
    """Turns that wait for answers, each in a session of its own."""
    fences = []
    for _ in range(count):
        order = request(SessionKey("acme", secrets.token_hex(8)))
        fence = Fence(order.key, store.begin_turn(order).turn, order.run_id)
        store.open_input(fence, "q")
        fences.append(fence)
    return fences


def begins(store: Store) -> int:
    """How many turns the tenant may still begin."""
    count = 0
    with suppress(RequestError):
        while True:
            begin_rated(store, rate=StartRate(1000, 60))
            count += 1
    return count


def test_turns_that_ask_leave_their_places(make_store: MakeStore) -> None:
    """Up to their bound; an answer that is taken, or a withdrawn question, makes them count."""
    store = make_store(StoreLimits(max_turns_per_tenant=10, max_asking_turns_per_tenant=5))
    fences = asking(store, 7)  # two of them beyond the bound
    assert begins(store) == 8
    for fence in fences[5:]:
        store.delete_session(fence.key)
    assert begins(store) == 2
    store.post_input(fences[0].key, "q", b'"yes"')
    assert store.take_input(fences[0], "q") == b'"yes"'
    store.close_input(fences[1], "q")
    store.heartbeat("w", fences[:5])
    for fence in fences[:3]:  # which are two more than there are places, and one that asks
        assert begins(store) == 0
        store.finish(fence, 1, [b"{}"], [])
    assert begins(store) == 0
    store.open_input(fences[3], "another")
    store.delete_session(fences[3].key)
    assert begins(store) == 0


def test_a_look_for_an_answer_takes_no_place(make_store: MakeStore) -> None:
    """A turn that asks stays among those that ask until there is an answer to take."""
    store = make_store(StoreLimits(max_turns_per_tenant=1))
    fence = start(store)
    store.open_input(fence, "q")
    assert store.take_input(fence, "q") is None
    assert start(store, OTHER).turn == 1
