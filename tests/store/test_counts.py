"""What is counted per tenant: starts, turns and sessions, exactly, however many come at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from functools import partial

import pytest

from tests.store.steps import KEY, MakeStore, at_once, refused, request, run_turn, start
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import Redis
from wsgi_app.errors import RequestError
from wsgi_app.store.base import SessionKey, StartCount, StartRate, Store, StoreLimits, TurnBegun

LIMIT = StartRate(20, 86_400)
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

url, process, limits = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
store = RedisStore(url, StoreLimits(**limits), timeout_seconds=10)
store.ping()
print("ready", flush=True)
sys.stdin.read()
keys = [SessionKey("acme", f"s-{process}-{number}") for number in range(16)]
orders = [request(key, run_id=f"run-{process}-{key.session_id}") for key in keys]
begun = at_once([partial(store.begin_turn, order) for order in orders])
counted = at_once([partial(store.count_start, "acme", StartRate(20, 86_400)) for _ in orders])
codes = [one.code if isinstance(one, RequestError) else one.state for one in begun]
print(json.dumps([codes, sum(count.counted for count in counted)]))
"""


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    """A store whose limits are met by few."""
    return make_store(StoreLimits(max_turns_per_tenant=10, max_sessions_per_tenant=12))


def test_as_many_starts_as_allowed(store: Store) -> None:
    """However many threads start at once, exactly the limit's number is counted."""
    counts = at_once([partial(store.count_start, "acme", LIMIT) for _ in range(THREADS)])
    assert sum(isinstance(one, StartCount) and one.counted for one in counts) == LIMIT.amount
    last = store.count_start("acme", LIMIT)
    assert (last.counted, last.before, last.current) == (False, 0, LIMIT.amount)
    assert 0 < last.current_left_seconds <= LIMIT.window_seconds


def test_starts_are_counted_by_tenant_and_limit(store: Store) -> None:
    """A tenant's starts are nobody else's, and a changed limit counts anew."""
    store.count_start("acme", LIMIT)
    assert store.count_start("acme", LIMIT).current == 2
    assert store.count_start("other", LIMIT).current == 1
    assert store.count_start("ac/me", LIMIT).current == 1
    assert store.count_start("acme", StartRate(21, 86_400)).current == 1


def test_start_is_taken_back(store: Store) -> None:
    """What came to nothing makes room again."""
    for _ in range(LIMIT.amount):
        assert store.count_start("acme", LIMIT).counted
    assert not store.count_start("acme", LIMIT).counted
    assert store.count_start("acme", LIMIT, -1).current == LIMIT.amount - 1
    assert store.count_start("acme", LIMIT).counted
    assert not store.count_start("acme", LIMIT).counted


def test_limited_request_attaches_but_begins_nothing(store: Store) -> None:
    """A tenant beyond its limit still finds the turn of its key; no other request begins one."""
    order = request(idempotency_key="key")
    assert store.begin_turn(order).state == "started"
    limited = request(idempotency_key="key", only_attaches=True)
    assert store.begin_turn(limited)[:2] == ("attached", 1)
    with refused("session_busy"):
        store.begin_turn(request(only_attaches=True))
    with refused("idempotency_key_reused"):
        store.begin_turn(request(idempotency_key="key", digest="other", only_attaches=True))
    for key in (SessionKey("acme", "idle"), SessionKey("other", "s-1")):
        with refused("rate_limited"):
            store.begin_turn(request(key, only_attaches=True))
        assert store.describe_session(key) is None
    run_turn(store, SessionKey("acme", "idle"))
    with refused("rate_limited"):
        store.begin_turn(request(SessionKey("acme", "idle"), only_attaches=True))
    with refused("rate_limited"):
        store.begin_turn(request(KEY, if_busy="enqueue", only_attaches=True))


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
    ("limits", "allowed", "code"),
    [
        ({"max_turns_per_tenant": 10}, 10, "too_many_turns"),
        ({"max_turns_per_tenant": 1000, "max_sessions_per_tenant": 12}, 12, "too_many_sessions"),
    ],
)
def test_processes_share_the_counts(
    redis: Redis, limits: dict[str, int], allowed: int, code: str
) -> None:
    """Threads of several processes together begin and count exactly what is allowed."""
    command = [sys.executable, "-c", BEGINNER, redis.url]
    processes = [
        subprocess.Popen(
            [*command, str(number), json.dumps(limits)],
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
    answers = [json.loads(process.communicate("", timeout=60)[0]) for process in processes]
    states = Counter(state for codes, _ in answers for state in codes)
    assert states == {"started": allowed, code: 16 * PROCESSES - allowed}
    assert sum(counted for _, counted in answers) == LIMIT.amount
