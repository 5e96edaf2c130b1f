"""Two people answer one question at the same time, on different workers of different hosts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.support.client import new_session
from tests.support.service import Service, service

ANSWERS = 12
ROUNDS = 5


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """Two hosts of two workers."""
    with service() as running:
        yield running


def test_one_answer_counts_and_its_sender_knows(shared: Service) -> None:
    """Of many answers one is taken, by the agent too; all others are told that none is asked."""
    for _ in range(ROUNDS):
        session, barrier = new_session(), Barrier(ANSWERS)
        with shared.client.chat(session, {"ask": "Which colour?"}) as stream:
            asked = stream.until("input_request")[-1].data["request_id"]

            def answer(
                number: int, session: str = session, barrier: Barrier = barrier, asked: str = asked
            ) -> tuple[int, str]:
                body = {"request_id": asked, "value": f"colour-{number}"}
                client = shared.direct[number % len(shared.direct)]
                barrier.wait(30)
                told = client.call("POST", f"/chat/{session}/input", body)
                return told.status, told.json.get("code", "")

            with ThreadPoolExecutor(ANSWERS) as pool:
                told = list(pool.map(answer, range(ANSWERS)))
            reply = stream.until("done")[-1].data["reply"]
        taken = [number for number, (status, _) in enumerate(told) if status == 200]
        assert [f"colour-{number}" for number in taken] == [reply]
        assert {pair for pair in told if pair[0] != 200} == {(409, "no_pending_input")}
