"""Sessions for one turn alone: with the client's own history, and forgotten after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.turns import TurnBench
from tests.support.waiting import wait_for
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.engine.worker import ephemeral
from wsgi_app.store.base import Message, SessionKey

KEY = SessionKey("tenant", "once")
GIVEN = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[TurnBench]:
    """An engine that forgets such sessions at once."""
    monkeypatch.setattr(ephemeral, "KEEP_SECONDS", 0.0)
    bench = TurnBench(lease_seconds=0.3)
    yield bench
    bench.runner.close(10)


def test_a_turn_may_bring_its_history(bench: TurnBench) -> None:
    """What the client gives as history is what the agent gets, not what the session holds."""
    seen: list[list[Message]] = []

    def agent(turn: Turn) -> str:
        seen.append(turn.history)
        return "three"

    assert bench.start(agent, key=KEY).wait_ended(20)
    assert bench.start(agent, key=KEY, history=GIVEN).wait_ended(20)
    assert seen == [[], GIVEN]


def test_an_ephemeral_session_is_forgotten_after_its_turn(bench: TurnBench) -> None:
    """The session of such a turn goes by itself; others stay."""
    other = SessionKey("tenant", "stays")
    assert bench.start(lambda _: "hello", key=other).wait_ended(20)
    assert bench.start(lambda _: "hello", key=KEY, ephemeral=True).wait_ended(20)
    wait_for(lambda: bench.store.history(KEY) is None, "the session is forgotten")
    assert bench.store.history(other) is not None


def test_a_newer_turn_keeps_an_ephemeral_session(bench: TurnBench) -> None:
    """A session that went on is not taken away from its newer turn."""
    first = bench.start(lambda _: "one", key=KEY)
    assert first.wait_ended(20)
    second = bench.start(lambda _: "two", key=KEY)
    assert second.wait_ended(20)
    sessions = ephemeral.EphemeralSessions(bench.store)
    sessions.add(first.fence)
    sessions.sweep()
    assert bench.store.history(KEY) is not None
    sessions.add(second.fence)
    sessions.sweep()
    assert bench.store.history(KEY) is None
