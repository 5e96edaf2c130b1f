"""Histories of random operations by many threads, and the search for an order that explains them.

An operation is atomic if it seems to happen at one moment between its call and its return. So there
must be an order of all operations that the calls and returns allow, in which the model of the
contract gives every one the answer that it got. Sessions are explained one by one, as no operation
here touches two.
"""

from __future__ import annotations

import copy
import pickle
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.store.model import Model, Refused, comparable
from tests.store.steps import ALL, START, at_once, events
from wsgi_app.errors import Fenced, RequestError
from wsgi_app.store.base import BeginTurn, Fence, SessionKey, Store, StoreLimits
from wsgi_app.store.redis import RedisStore

#: What all sessions of a tenant share is out of the way, what each has for itself is tight.
LIMITS = StoreLimits(
    max_queued_turns=2,
    max_turns_per_tenant=10_000,
    max_sessions_per_tenant=10_000,
    max_idempotency_keys=2,
    journal_bytes=160,
    history_bytes=160,
)
KEYS = [SessionKey("acme", f"h-{number}") for number in range(3)]
THREADS = 4
STEPS = 150


class Operation(NamedTuple):
    """What a thread asked for and got; times are of the machine's one monotonic clock."""

    called_at: float
    returned_at: float
    key: SessionKey
    name: str
    arguments: tuple[Any, ...]
    answer: object


def _describe(store: Any, key: SessionKey) -> object:
    if isinstance(store, Model):
        held = store.sessions.get(key)
        return held and (held.newest, tuple(t.number for t in held.active), held.messages)
    view = store.history(key)
    return view and (view.turn, view.active_turns, view.messages)


def _do(store: Any, name: str, arguments: tuple[Any, ...]) -> object:
    """Do it with a store or a model; refusals are sets of codes."""
    try:
        if name == "describe":
            return _describe(store, *arguments)
        return getattr(store, name)(*arguments)
    except Fenced:
        return "fenced"
    except Refused as refused:
        return refused.codes
    except RequestError as error:
        return {error.code}


class Player:
    """One thread's random operations; fences are shared with the others of its process."""

    def __init__(self, store: Store, seed: str, fences: list[Fence]) -> None:
        self._store = store
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - a test that can be repeated
        self._fences = fences
        self.history: list[Operation] = []

    def play(self) -> None:
        """Do all steps."""
        for step in range(STEPS):
            name, arguments = self._choose(step)
            first = arguments[0]
            key = first if isinstance(first, SessionKey) else self._key_of(arguments)
            called_at = time.monotonic()
            answer = _do(self._store, name, arguments)
            self.history.append(
                Operation(called_at, time.monotonic(), key, name, arguments, answer)
            )
            if name == "begin_turn" and isinstance(answer, tuple) and answer[0] != "attached":
                self._fences.append(Fence(key, answer[1], first.run_id))

    @staticmethod
    def _key_of(arguments: tuple[Any, ...]) -> SessionKey:
        if arguments[0] == "worker":
            return SessionKey(*arguments[1][0].key)
        return SessionKey(*arguments[0].key)

    def _choose(self, step: int) -> tuple[str, tuple[Any, ...]]:
        pick = self._random
        key, question = pick.choice(KEYS), pick.choice(["q", "r"])
        recent = self._fences[-6:]
        if not recent or pick.random() < 0.2:
            return "begin_turn", (self._order(key, step),)
        fence = pick.choice(recent)
        first = pick.choice([1, 1, 2, 3])
        batch = events(first, first + pick.randint(0, 2))
        message = {"role": "assistant", "content": f"reply {fence.run_id}"}
        choices: list[tuple[str, tuple[Any, ...]]] = [
            ("claim_turn", (fence,)),
            ("append", (fence, first, batch)),
            ("append", (fence, first, batch)),
            ("finish", (fence, first, batch, [message])),
            ("finish", (fence, 1, events(1, 3), [message])),
            ("request_cancel", (key, pick.choice([None, fence.turn]), "user")),
            ("open_input", (fence, question)),
            ("post_input", (key, question, b"%d" % step)),
            ("take_input", (fence, question)),
            ("close_input", (fence, question)),
            ("heartbeat", ("worker", [fence])),
            ("read", (key, START, ALL)),
            ("describe", (key,)),
        ]
        if pick.random() < 0.03:
            return "delete_session", (key,)
        return pick.choice(choices)

    def _order(self, key: SessionKey, step: int) -> BeginTurn:
        pick = self._random
        return BeginTurn(
            key=key,
            run_id=f"{self._seed}-{step}",
            worker_id="worker",
            message=f"message {self._seed}-{step}",
            if_busy=pick.choice(["reject", "enqueue", "enqueue", "interrupt"]),
            idempotency_key=pick.choice([None, None, "k", "l", "m"]),
            request_digest=pick.choice(["d", "d", "e"]),
        )


def play(store: Store, seed: str) -> list[Operation]:
    """Play with many threads at once; returns all that they did."""
    fences: list[Fence] = []
    players = [Player(store, f"{seed}-{number}", fences) for number in range(THREADS)]
    actions: Sequence[Callable[[], object]] = [player.play for player in players]
    assert at_once(actions) == []
    return [operation for player in players for operation in player.history]


def explain(history: Sequence[Operation]) -> None:
    """Find an order for each session's operations; raises AssertionError if there is none."""
    for key in KEYS:
        operations = sorted(one for one in history if one.key == key)
        _explain_session(operations)


def _explain_session(operations: list[Operation]) -> None:
    """Search depth first: each step appends an operation that may be the next."""
    seen: set[bytes] = set()
    stack: list[tuple[frozenset[int], Model]] = [(frozenset(), Model(LIMITS))]
    deepest: frozenset[int] = frozenset()
    while stack:
        done, model = stack.pop()
        if len(done) == len(operations):
            return
        deepest = max(deepest, done, key=len)
        for place in reversed(_next(operations, done)):
            after = copy.deepcopy(model)
            if not _agrees(after, operations[place]):
                continue
            now_done = done | {place}
            state = pickle.dumps((sorted(now_done), after))
            if state not in seen:
                seen.add(state)
                stack.append((now_done, after))
    stuck = "\n".join(str(operations[place]) for place in _next(operations, deepest))
    raise AssertionError(f"No order explains what was answered to any of:\n{stuck}")


def _next(operations: list[Operation], done: frozenset[int]) -> list[int]:
    """Those that were called before any other one of the rest returned, the first back first."""
    rest: list[int] = []
    first_return = float("inf")
    for place, operation in enumerate(operations):
        if place in done:
            continue
        if operation.called_at > first_return:
            break
        rest.append(place)
        first_return = min(first_return, operation.returned_at)
    return sorted(rest, key=lambda place: operations[place].returned_at)


def _agrees(model: Model, operation: Operation) -> bool:
    expected = _do(model, operation.name, operation.arguments)
    if isinstance(expected, set):
        return isinstance(operation.answer, set) and operation.answer <= expected
    return expected == comparable(operation.answer)


def main(url: str, file: str, seed: str) -> None:
    """Play in this process, once the other ones are there too, and save what was done."""
    store = RedisStore(url, LIMITS, timeout_seconds=30)
    path = Path(file)
    path.with_suffix(".ready").touch()
    deadline = time.monotonic() + 60
    while not path.with_name("go").exists():
        assert time.monotonic() < deadline, "nobody says go"
        threading.Event().wait(0.005)
    path.write_bytes(pickle.dumps(play(store, seed)))
    store.close()
