"""Random operations on a store and on the model of the contract: they agree in every answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from tests.store.model import Model, Refused, comparable
from tests.store.steps import ALL, START, IfBusy, MakeStore, events, request
from wsgi_app.errors import Fenced, RequestError
from wsgi_app.events import LOST_SEQ, CancelReason, EventId
from wsgi_app.store.base import (
    BeginTurn,
    Fence,
    JournalWrite,
    SessionKey,
    StepWrite,
    StoreLimits,
    mark_of,
)
from wsgi_app.store.resumes import ATTEMPT_SEQS, LostTurn
from wsgi_app.store.values import next_run_id

#: So tight that random operations meet each of them.
LIMITS = StoreLimits(
    max_queued_turns=2,
    max_turns_per_tenant=4,
    max_sessions_per_tenant=2,
    max_idempotency_keys=2,
    journal_bytes=160,
    history_bytes=160,
    # No lease runs out meanwhile, and a turn may have three workers.
    lease_seconds=600.0,
    max_attempts=3,
    record_bytes=40,
)
KEYS = [SessionKey("acme", name) for name in ("a", "b", "c")] + [SessionKey("rival", "a")]

# Most happens in one session, so that its states are reached.
keys = st.sampled_from([KEYS[0]] * 8 + KEYS)
workers = st.sampled_from(["w1", "w2"])
busy_rules = st.sampled_from(["reject", "enqueue", "enqueue", "enqueue", "interrupt"])
reasons = st.sampled_from(["user", "disconnected"])
questions = st.sampled_from(["q", "r"])
notes = st.sampled_from([b"", b"n", b"o"])
#: Where a write begins, counted from the place right behind what is stored.
offsets = st.sampled_from([0, 0, 0, 0, -1, -2, 1])
seqs = [0, 1, 2, 3, 5, ATTEMPT_SEQS, ATTEMPT_SEQS + 1, ATTEMPT_SEQS + 3, 2 * ATTEMPT_SEQS + 1]
cursors = st.builds(EventId, st.integers(0, 6), st.sampled_from([*seqs, LOST_SEQ]))

_numbers = itertools.count(1)


def outcome(operation: Callable[[], object]) -> object:
    """What an operation answers, or why it does not."""
    try:
        return operation()
    except Fenced:
        return "fenced"
    except Refused as refused:
        return refused.codes
    except RequestError as error:
        return {error.code}


class Agreement(RuleBasedStateMachine):
    """Every rule does the same to store and model, and compares."""

    #: What was asked for; `fence` knows the turns that came of it.
    orders: Bundle[BeginTurn] = Bundle("orders")
    #: Turns of lost workers as they were found.
    looks: Bundle[LostTurn] = Bundle("looks")
    make_store: MakeStore

    @initialize()
    def begin_empty(self) -> None:
        """Start without any session."""
        self.store = self.make_store(LIMITS)
        self.model = Model(LIMITS)
        #: The turns that were begun, by their runs.
        self.turns: dict[str, tuple[BeginTurn, int]] = {}
        #: The newest runs of turns that other workers have gone on with.
        self.taken: dict[str, str] = {}

    def teardown(self) -> None:
        """Close this example's store."""
        self.store.close()

    def fence(self, order: BeginTurn) -> Fence:
        """The fence of what was asked for, or one that fits nothing if it was refused."""
        _, turn = self.turns.get(order.run_id, (order, 1))
        return Fence(order.key, turn, order.run_id)

    def newest_fence(self, order: BeginTurn) -> Fence:
        """The fence of whoever has its turn now."""
        fence = self.fence(order)
        return fence._replace(run_id=self.taken.get(fence.run_id, fence.run_id))

    def stored_seq(self, fence: Fence) -> int:
        """The last stored seq of a turn, 0 for an unknown one."""
        session = self.model.sessions.get(fence.key)
        turn = session.turns.get(fence.turn) if session else None
        return turn.last_seq if turn and turn.last_seq < LOST_SEQ else 0

    def agree(self, name: str, *arguments: object) -> object:
        """Do it on both sides; a store may have any of the model's reasons to refuse."""
        expected = outcome(partial(getattr(self.model, name), *arguments))
        found = outcome(partial(getattr(self.store, name), *arguments))
        if isinstance(expected, set):
            assert isinstance(found, set), (name, arguments, found, expected)
            assert found <= expected, (name, arguments)
        else:
            assert comparable(found) == expected, (name, arguments)
        return found

    def _begin(self, order: BeginTurn) -> None:
        found = self.agree("begin_turn", order)
        if isinstance(found, tuple) and found[0] != "attached":
            self.turns[order.run_id] = (order, found[1])

    @rule(
        target=orders,
        key=keys,
        worker_id=workers,
        message=st.sampled_from(["m", "long message " * 5]),
        if_busy=busy_rules,
        idempotency_key=st.sampled_from([None, None, "k", "l", "m"]),
        digest=st.sampled_from(["d", "d", "e"]),
        resume=st.sampled_from([b"r", b"r", b""]),
    )
    def begin(  # noqa: PLR0913 - a request has so many sides
        self,
        *,
        key: SessionKey,
        worker_id: str,
        message: str,
        if_busy: IfBusy,
        idempotency_key: str | None,
        digest: str,
        resume: bytes,
    ) -> BeginTurn:
        """Ask for a turn."""
        order = request(
            key,
            worker_id=worker_id,
            message=message,
            if_busy=if_busy,
            idempotency_key=idempotency_key,
            digest=digest,
        )
        order = replace(order, resume=resume if self.store.resumes is not None else b"")
        self._begin(order)
        return order

    @rule(order=orders)
    def begin_again(self, order: BeginTurn) -> None:
        """Repeat a request."""
        self._begin(order)

    @rule(target=orders, key=keys, worker_id=workers, turn=st.integers(1, 6))
    def lose_session(self, key: SessionKey, worker_id: str, turn: int) -> BeginTurn:
        """Have a turn of a session that was lost: the fence is all that is left."""
        order = request(key, worker_id=worker_id)
        fence = Fence(key, turn, order.run_id)
        self.agree("append", fence, 2, events(2, 2))
        if fence.turn != self._newest(key):
            return multiple()  # type: ignore[return-value] # hypothesis' word for nothing
        self.turns[order.run_id] = (order, turn)
        return order

    def _newest(self, key: SessionKey) -> int:
        session = self.model.sessions.get(key)
        return session.newest if session else 0

    @rule(order=orders)
    def claim(self, order: BeginTurn) -> None:
        """Claim a turn."""
        self.agree("claim_turn", self.fence(order))

    @rule(order=orders, offset=offsets, count=st.integers(0, 3), newest=st.booleans())
    def append(self, order: BeginTurn, offset: int, count: int, *, newest: bool) -> None:
        """Append, overlapping or with a hole; as the first worker, or whoever has the turn."""
        fence = self.newest_fence(order) if newest else self.fence(order)
        first = max(1, self.stored_seq(fence) + 1 + offset)
        self.agree("append", fence, first, events(first, first + count - 1))

    @rule(
        order=orders,
        count=st.integers(0, 2),
        number=st.integers(0, 3),
        size=st.sampled_from([5, 5, 30]),
        resume=st.sampled_from([b"", b"s"]),
        newest=st.booleans(),
    )
    def record(  # noqa: PLR0913 - a step has so many sides
        self, order: BeginTurn, *, count: int, number: int, size: int, resume: bytes, newest: bool
    ) -> None:
        """Record a step: the next one, the same again, or one behind a hole."""
        fence = self.newest_fence(order) if newest else self.fence(order)
        first = max(1, self.stored_seq(fence) + 1)
        known = resume if self.store.resumes is not None else b""
        new, step = events(first, first + count - 1), StepWrite(number, b"x" * size, known)
        expected = outcome(partial(self.model.record, fence, first, new, step))
        (found,) = self.store.write([JournalWrite(fence, first, new, None, step)])
        assert (found if isinstance(found, tuple) else "fenced") == expected

    @rule(target=looks, order=orders)
    def look(self, order: BeginTurn) -> LostTurn:
        """Look at a turn that another worker may go on with."""
        if self.store.resumes is None:
            return multiple()  # type: ignore[return-value] # hypothesis' word for nothing
        key, _, run_id = self.newest_fence(order)
        found = self.store.resumes.look(key, run_id)
        expected = self.model.look(key, run_id)
        assert comparable(found) == expected
        return multiple() if expected is None else expected  # type: ignore[return-value] # the same

    @rule(order=orders, worker_id=workers)
    def take_over(self, order: BeginTurn, worker_id: str) -> None:
        """Two workers look at the same turn and want it: one gets it."""
        for found in [self.model.look(order.key, self.newest_fence(order).run_id)] * 2:
            if found is not None and self.store.resumes is not None:
                self._take(found, worker_id)

    @rule(found=looks, worker_id=workers)
    def take(self, found: LostTurn, worker_id: str) -> None:
        """Go on with a turn as it was found, whatever has happened since: others may have it."""
        self._take(found, worker_id)

    def _take(self, found: LostTurn, worker_id: str) -> None:
        assert self.store.resumes is not None
        run_id = next_run_id(found.fence.run_id, found.attempt + 1, str(next(_numbers)))
        told = [b'{"type":"withdrawn"}', b'{"type":"status"}']
        if found.elapsed_seconds is None:
            told = []  # it waits for its place
        expected = self.model.take(found, worker_id, run_id, told)
        assert self.store.resumes.take(found, worker_id, run_id, told) == expected
        if expected is not None:
            for old, new in list(self.taken.items()):
                if new == found.fence.run_id:
                    self.taken[old] = run_id
            self.taken[found.fence.run_id] = run_id

    @rule(order=orders, offset=offsets, count=st.integers(1, 3), reply=st.booleans())
    def finish_taken(self, order: BeginTurn, offset: int, count: int, *, reply: bool) -> None:
        """Finish a turn as the worker that has it now."""
        self._finish(self.newest_fence(order), offset, count, reply=reply)

    @rule(order=orders, offset=offsets, count=st.integers(1, 3), reply=st.booleans())
    def finish(self, order: BeginTurn, offset: int, count: int, *, reply: bool) -> None:
        """Finish, overlapping or with a hole, and again."""
        self._finish(self.fence(order), offset, count, reply=reply)

    def _finish(self, fence: Fence, offset: int, count: int, *, reply: bool) -> None:
        first = max(1, self.stored_seq(fence) + 1 + offset)
        # What is stored last is the terminal event: a finish goes up to its end at least.
        last = max(first + count - 1, self.stored_seq(fence))
        messages = [{"role": "assistant", "content": f"reply {fence.turn}"}] if reply else []
        for _ in range(2):
            self.agree("finish", fence, first, events(first, last), messages)

    @rule(order=orders, request_id=questions)
    def open_input(self, order: BeginTurn, request_id: str) -> None:
        """Ask."""
        self.agree("open_input", self.fence(order), request_id)

    @rule(key=keys, request_id=questions, value=st.binary(max_size=2))
    def post_input(self, key: SessionKey, request_id: str, value: bytes) -> None:
        """Answer."""
        self.agree("post_input", key, request_id, value)

    @rule(order=orders, request_id=questions)
    def take_input(self, order: BeginTurn, request_id: str) -> None:
        """Take the answer."""
        self.agree("take_input", self.fence(order), request_id)

    @rule(order=orders, request_id=questions)
    def close_input(self, order: BeginTurn, request_id: str) -> None:
        """Withdraw the question."""
        self.agree("close_input", self.fence(order), request_id)

    @rule(key=keys, turn=st.none() | st.integers(1, 6), reason=reasons)
    def cancel(self, key: SessionKey, turn: int | None, reason: CancelReason) -> None:
        """Cancel."""
        self.agree("request_cancel", key, turn, reason)

    @rule(worker_id=workers)
    def heartbeat(self, worker_id: str) -> None:
        """Renew all that the worker ever began."""
        begun = [order for order, _ in self.turns.values()]
        own = [self.fence(order) for order in begun if order.worker_id == worker_id]
        own += [self.newest_fence(order) for order in begun if order.run_id in self.taken]
        self.agree("heartbeat", worker_id, own)

    @rule(worker_id=workers)
    def mark_lost(self, worker_id: str) -> None:
        """Let a worker die."""
        expected = self.model.mark_lost(worker_id, b'{"type":"error"}')
        assert sorted(self.store.mark_lost(worker_id, b'{"type":"error"}')) == sorted(expected)

    @rule(key=keys, note=notes, before=st.none() | notes, said=st.integers(0, 2))
    def note(self, key: SessionKey, note: bytes, before: bytes | None, said: int) -> None:
        """Make a session without a turn, or change what is kept with one."""
        told = [{"role": role, "content": "before"} for role in ("user", "assistant")]
        self.agree("note_session", key, note, before, told[:said])

    @rule(key=keys)
    def delete(self, key: SessionKey) -> None:
        """Forget a session."""
        self.agree("delete_session", key)

    @rule(
        key=keys, after=cursors, max_events=st.sampled_from([1, 2, 3, ALL]), run=st.integers(0, 9)
    )
    def read(self, key: SessionKey, after: EventId, max_events: int, run: int) -> None:
        """Read after any cursor, without a mark, or with that of any run."""
        runs = list(self.turns)[-9:]
        mark = mark_of(runs[run - 1]) if 0 < run <= len(runs) else ""
        self.agree("read", key, after, max_events, mark)

    @rule(order=orders, behind=st.sampled_from([-2, -1, 0, 1]))
    def read_near(self, order: BeginTurn, behind: int) -> None:
        """Read from where a reader stands that has seen all of a turn, or nearly so."""
        session = self.model.sessions.get(order.key)
        turn = session.turns.get(self.fence(order).turn) if session else None
        if turn is not None:
            seq = max(0, turn.seq_of(turn.last_seq) + behind)
            self.agree("read", order.key, EventId(turn.number, seq), ALL, "")

    @rule(tenant=st.sampled_from(["acme", "rival"]), limit=st.integers(1, 3))
    def list_all(self, tenant: str, limit: int) -> None:
        """List a tenant's sessions, page by page."""
        page = self.store.list_sessions(tenant, limit, None)
        names = [view.session_id for view in page.sessions]
        while page.next_cursor is not None:
            page = self.store.list_sessions(tenant, limit, page.next_cursor)
            names += [view.session_id for view in page.sessions]
        mine = [key.session_id for key in self.model.sessions if key.tenant == tenant]
        assert names == mine[::-1]

    @invariant()
    def same_sessions(self) -> None:
        """Every session, read and described, is the model's."""
        for key in KEYS:
            self.agree("read", key, START, ALL)
            view = self.store.history(key)
            session = self.model.sessions.get(key)
            assert (view is None) == (session is None)
            if view is not None and session is not None:
                active = tuple(turn.number for turn in session.active)
                assert (view.turn, view.active_turns) == (session.newest, active)
                assert (view.owner, view.messages) == (session.owner, session.messages)
                assert self.store.turn_note(key, 0) == session.note
                assert [turn.state for turn in session.active].count("running") <= 1


def _agrees(make_store: MakeStore, examples: int, steps: int) -> None:
    machine = type("Agreement", (Agreement,), {"make_store": staticmethod(make_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(300)  # shrinking a fault takes longer than finding it
def test_store_agrees_with_the_model(backend: MakeStore) -> None:
    """Whatever is done in whatever order, the store answers what the contract's model answers."""
    _agrees(backend, examples=30, steps=60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_store_agrees_with_the_model_at_length(backend: MakeStore) -> None:
    """The same, for many more and longer histories."""
    _agrees(backend, examples=1000, steps=100)
