"""The AI SDK's WebSocket transport: messages, stop, resume and questions, on two workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.node import run_node
from tests.support.servers import Gunicorn, gunicorn, redis_server

EXPECTED: dict[str, list[Any]] = {
    "text": ["first", "ready", "second", "ready", 4],
    "stop": ["begun", "ready", "idle"],
    "resume": ["begun over", "ready", 2, 0],
    "question": ["Which?", "blue it is", "ready"],
    "busy": ["error", "A turn of this session is running."],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers and their store."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": "dev=tenant"}
        app = "tests.support.apps:scripted_app()"
        with gunicorn(app, workers=2, threads=16, env=env) as running:
            yield running


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_chat_over_a_websocket(server: Gunicorn, scenario: str) -> None:
    """What its page shows in the end."""
    told: Any
    (told,) = run_node(
        "ai_socket.mjs", scenario=scenario, url=server.url, token="dev", session=new_session()
    )
    assert told == EXPECTED[scenario]
