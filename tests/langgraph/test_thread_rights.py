"""Threads without a run: who may see and make them, and how many."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from langgraph_sdk.errors import APIStatusError, NotFoundError

from tests.langgraph.sdk import HELLO, client_of
from tests.support.servers import Gunicorn, gunicorn, redis_server


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Gunicorn]:
    """Two tenants, of whom one has a token that may only read, and each three sessions."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": "a=alpha,reader=alpha scopes=read,b=beta",
            "AGENT_MAX_SESSIONS_PER_TENANT": "3",
        }
        with gunicorn("tests.support.apps:scripted_app()", workers=2, env=env) as server:
            yield server


def test_a_tenant_never_meets_anothers_thread(shared_host: Gunicorn) -> None:
    """What is one tenant's is unknown to the other, by every call."""
    with client_of(shared_host, "a") as mine, client_of(shared_host, "b") as other:
        thread_id = mine.threads.create(metadata={"secret": "alpha"})["thread_id"]
        for call in (
            lambda: other.threads.get(thread_id),
            lambda: other.threads.get_state(thread_id),
            lambda: other.threads.update(thread_id, metadata={"a": 1}),
            lambda: other.threads.copy(thread_id),
            lambda: other.runs.list(thread_id),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert other.threads.get_history(thread_id) == []
        assert other.threads.search(metadata={"secret": "alpha"}) == []
        assert other.threads.search(ids=[thread_id]) == []
        other.threads.delete(thread_id)
        assert mine.threads.get(thread_id)["metadata"] == {"secret": "alpha"}
        own: Any = other.threads.create(thread_id=thread_id)
        assert own["metadata"] == {}
        other.threads.delete(thread_id)
        assert mine.threads.get(thread_id)["metadata"] == {"secret": "alpha"}
        mine.threads.delete(thread_id)


def test_who_may_only_read_makes_no_thread(shared_host: Gunicorn) -> None:
    """Nor changes, copies or deletes one; strangers do not even read."""
    with client_of(shared_host, "a") as mine:
        thread_id = mine.threads.create()["thread_id"]
        for token, status in (("reader", 403), ("stranger", 401)):
            with client_of(shared_host, token) as client:
                for call in (
                    client.threads.create,
                    partial(client.threads.update, metadata={"a": 1}, thread_id=thread_id),
                    partial(client.threads.copy, thread_id),
                    partial(client.threads.delete, thread_id),
                ):
                    with pytest.raises(APIStatusError) as caught:
                        call()
                    assert caught.value.status_code == status
        mine.threads.delete(thread_id)


def test_threads_are_bounded(shared_host: Gunicorn) -> None:
    """A tenant's threads without runs, and copies, count among its sessions."""
    with client_of(shared_host, "a") as mine, client_of(shared_host, "b") as other:
        ids = [mine.threads.create()["thread_id"] for _ in range(3)]
        for call in (
            mine.threads.create,
            lambda: mine.threads.copy(ids[0]),
            lambda: mine.runs.create(str(uuid.uuid4()), "agent", input=HELLO),
        ):
            with pytest.raises(APIStatusError) as caught:
                call()
            body: Any = caught.value.body
            assert (caught.value.status_code, body["code"]) == (429, "too_many_sessions")
        other.threads.delete(other.threads.create()["thread_id"])
        mine.runs.wait(ids[0], "agent", input=HELLO)
        for thread_id in ids:
            mine.threads.delete(thread_id)
        mine.threads.delete(mine.threads.create()["thread_id"])
