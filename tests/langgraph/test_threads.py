"""Threads without a run, by langgraph-sdk for Python: made, found, changed, copied, deleted."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError

from tests.langgraph.sdk import HELLO, LOOKS, client_of, says
from tests.langgraph.thread import Thread
from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN


@pytest.fixture
def url(host: Gunicorn) -> str:
    """Where the host's own wire is."""
    return f"{host.url}/agents"


def test_a_thread_is_there_without_a_run(client: SyncLangGraphClient) -> None:
    """On every worker: by its id, in searches, with an empty state, until it is deleted."""
    tag = uuid.uuid4().hex
    made = client.threads.create(metadata={"tag": tag, "nested": {"a": [1]}})
    thread_id = made["thread_id"]
    for _ in range(LOOKS):
        assert client.threads.get(thread_id) == made
    assert (made["status"], made["values"]) == ("idle", None)
    assert made["metadata"] == {"tag": tag, "nested": {"a": [1]}}
    assert client.threads.search(metadata={"tag": tag}) == [made]
    assert client.threads.count(metadata={"tag": tag}) == 1
    state: Any = client.threads.get_state(thread_id)
    assert (state["values"], state["next"]) == ({"messages": []}, [])
    assert client.threads.get_history(thread_id) == []
    assert client.runs.list(thread_id) == []
    client.threads.delete(thread_id)
    for _ in range(LOOKS):
        with pytest.raises(NotFoundError):
            client.threads.get(thread_id)
    assert client.threads.search(metadata={"tag": tag}) == []


def test_a_thread_is_made_once(client: SyncLangGraphClient) -> None:
    """Of those who make one at once, one does; ``do_nothing`` gives what is there."""
    thread_id = str(uuid.uuid4())

    def make(number: int) -> Any:
        try:
            return client.threads.create(thread_id=thread_id, metadata={"number": number})
        except ConflictError:
            return None

    with ThreadPoolExecutor(4) as pool:
        (made,) = [one for one in pool.map(make, range(4)) if one is not None]
    more: Any = {"metadata": {"number": -1}, "if_exists": "do_nothing"}
    assert client.threads.create(thread_id=thread_id, **more) == made
    with pytest.raises(ConflictError):
        client.threads.create(thread_id=thread_id)


def test_runs_come_into_a_thread_that_was_made(client: SyncLangGraphClient) -> None:
    """Its metadata and creation stay; what the newest run was started with stands behind them."""
    made = client.threads.create(metadata={"tag": "thread", "title": "A"})
    thread_id = made["thread_id"]
    run: Any = {**says("one"), "tag": "run", "more": 1}
    values: Any = client.runs.wait(thread_id, "agent", input=HELLO, metadata=run)
    assert [one["type"] for one in values["messages"]] == ["human", "ai"]
    found: Any = client.threads.get(thread_id)
    assert found["created_at"] == made["created_at"]
    named = {"assistant_id": "agent", "graph_id": "agent"}
    expected = {**run, "tag": "thread", "title": "A", **named}
    assert found["metadata"] == expected
    assert found["values"] == values
    changed: Any = client.threads.update(thread_id, metadata={"title": "B"})
    assert changed["metadata"] == {**expected, "title": "B"}


def test_a_run_may_need_its_thread(client: SyncLangGraphClient) -> None:
    """With ``if_not_exists="reject"`` it makes none, by each of the calls; by itself it does."""
    made = client.threads.create()["thread_id"]
    more: Any = {"input": HELLO, "if_not_exists": "reject"}
    for call in (
        lambda thread_id: client.runs.create(thread_id, "agent", **more),
        lambda thread_id: client.runs.wait(thread_id, "agent", **more),
        lambda thread_id: list(client.runs.stream(thread_id, "agent", **more)),
    ):
        call(made)
        unknown = str(uuid.uuid4())
        with pytest.raises((NotFoundError, httpx.HTTPStatusError), match=r"404|no such thread"):
            call(unknown)
        with pytest.raises(NotFoundError):
            client.threads.get(unknown)
    client.runs.wait(unknown, "agent", input=HELLO)
    assert client.threads.get(unknown)["status"] == "idle"


def test_changes_at_once_are_all_kept(client: SyncLangGraphClient) -> None:
    """Each adds its own to a thread's metadata, also of a thread that a run has made."""
    thread_id = str(uuid.uuid4())
    client.runs.wait(thread_id, "agent", input=HELLO)
    names = [f"name-{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: client.threads.update(thread_id, metadata={name: 1}), names))
    metadata: Any = client.threads.get(thread_id)["metadata"]
    assert {name: metadata[name] for name in names} == dict.fromkeys(names, 1)
    with pytest.raises(NotFoundError):
        client.threads.update(str(uuid.uuid4()), metadata={"a": 1})


def test_threads_are_sorted(client: SyncLangGraphClient) -> None:
    """By creation, change, id or status, up or down, with the fields that are selected."""
    tag = uuid.uuid4().hex
    ids = [client.threads.create(metadata={"tag": tag})["thread_id"] for _ in range(3)]
    client.threads.update(ids[1], metadata={"title": "changed"})

    def found(**wanted: Any) -> list[str]:
        return [one["thread_id"] for one in client.threads.search(metadata={"tag": tag}, **wanted)]

    assert found() == ids[::-1]
    assert found(sort_by="created_at", sort_order="asc") == ids
    assert found(sort_by="updated_at") == [ids[1], ids[2], ids[0]]
    assert found(sort_by="thread_id", sort_order="asc") == sorted(ids)
    pages = [found(sort_by="status", limit=1, offset=place)[0] for place in range(3)]
    assert sorted(pages) == sorted(ids)
    selected: Any = client.threads.search(metadata={"tag": tag}, select=["thread_id"], limit=1)
    assert selected == [{"thread_id": ids[2]}]


def test_what_there_is_none_of_is_refused(client: SyncLangGraphClient) -> None:
    """By its name: other lifetimes, states that are given, searches in states, long metadata."""
    values: Any = {"a": 1}
    for refused, field in (
        (lambda: client.threads.create(ttl=5), "ttl"),
        (lambda: client.threads.search(values=values), "values"),
        (lambda: client.threads.search(extract={"a": "values.a"}), "extract"),
        (lambda: client.threads.create(metadata={"a": "x" * 20_000}), "metadata"),
    ):
        with pytest.raises(BadRequestError) as caught:
            refused()
        body: Any = caught.value.body
        assert (body["code"], body["details"]["field"]) == ("invalid_request", field)
    thread_id = client.threads.create()["thread_id"]
    with pytest.raises(BadRequestError):
        client.threads.update(thread_id, metadata={"a": "x" * 20_000})
    assert client.threads.get(thread_id)["metadata"] == {}


def test_states_are_not_written(client: SyncLangGraphClient) -> None:
    """Who writes is told that nobody does; a write of nothing gives the state as it is."""
    thread_id = str(uuid.uuid4())
    client.runs.wait(thread_id, "agent", input=HELLO)
    before = client.threads.get_state(thread_id)
    nothing: Any = None
    assert client.threads.update_state(thread_id, nothing) == before
    for field, values, node in (("values", HELLO, None), ("as_node", nothing, "agent")):
        with pytest.raises(BadRequestError) as caught:
            client.threads.update_state(thread_id, values, as_node=node)
        body: Any = caught.value.body
        assert (body["code"], body["details"]["field"]) == ("invalid_request", field)
        assert "do not write it" in body["message"]
    assert client.threads.get_state(thread_id) == before
    with pytest.raises(NotFoundError):
        client.threads.update_state(str(uuid.uuid4()), HELLO)


def test_a_stream_that_waits_for_a_thread(host: Gunicorn) -> None:
    """Opened before the thread is made, on whichever worker, it has the first run's events."""
    for _ in range(4):
        thread = Thread(host)
        with ThreadPoolExecutor(1) as pool, client_of(host) as client:
            reading = pool.submit(thread.until_end)
            client.threads.create(thread_id=thread.id)
            client.runs.create(thread.id, "agent", input=HELLO, metadata=says("one"))
            events = reading.result(20)
        states = [one for one in events if one["method"] == "values"]
        assert states[-1]["params"]["data"]["messages"][-1]["content"] == "one"
        thread.close()


def test_a_stream_of_a_thread_that_was_made(host: Gunicorn) -> None:
    """It has the first run from its start, and no gap."""
    thread = Thread(host)
    with client_of(host) as client:
        client.threads.create(thread_id=thread.id)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(thread.until_end, since=0)
            client.runs.create(thread.id, "agent", input=HELLO, metadata=says("one"))
            events = reading.result(20)
    assert events[0]["params"]["data"]["event"] == "running"
    assert "custom" not in {one["method"] for one in events}
    thread.close()


def test_other_wires_have_the_thread_as_a_session(host: Gunicorn, url: str) -> None:
    """It is listed and described with the turn 0, has no events, and takes a message."""
    with client_of(host) as client:
        thread_id = client.threads.create()["thread_id"]
    with httpx.Client(headers={"Authorization": f"Bearer {DEVELOPMENT_TOKEN}"}) as http:
        about = http.get(f"{url}/session/{thread_id}").json()
        assert (about["turn_id"], about["state"], about["messages"]) == ("0", "idle", [])
        (listed, *_) = http.get(f"{url}/sessions").json()["sessions"]
        assert (listed["session_id"], listed["turn_id"]) == (thread_id, "0")
        for after in ("", "?last_event_id=0-0", "?last_event_id=1-0"):
            assert http.get(f"{url}/chat/{thread_id}/events{after}").status_code == 204
        polled = http.get(f"{url}/chat/{thread_id}/poll").json()
        assert (polled["events"], polled["running"]) == ([], False)
        json = {"Accept": "application/json"}
        said = http.post(f"{url}/chat/{thread_id}", json={"message": "hi"}, headers=json).json()
        assert (said["turn_id"], said["reply"]) == ("1", "hi")
        told = http.get(f"{url}/chat/{thread_id}/poll?after={polled['next']}").json()
        assert told["events"][-1]["type"] == "done"


def test_a_search_is_no_larger_than_few_threads(client: SyncLangGraphClient) -> None:
    """What large threads have said is left out behind the first ones, never the threads."""
    tag = uuid.uuid4().hex
    large: Any = {"messages": [{"type": "human", "content": "x" * 200_000}]}
    steps: Any = [{"updates": [{"values": large, "as_node": "agent"}]}]
    for _ in range(12):
        client.threads.create(metadata={"tag": tag}, supersteps=steps)
    found = client.threads.search(metadata={"tag": tag}, limit=12)
    assert len(found) == 12
    assert found[0]["values"] == client.threads.get(found[0]["thread_id"])["values"]
    assert found[-1]["values"] is None
    assert sum(len(str(one)) for one in found) < 1_300_000
    bare: Any = client.threads.search(metadata={"tag": tag}, limit=12, select=["thread_id"])
    assert [one["thread_id"] for one in bare] == [one["thread_id"] for one in found]
    for one in found:
        client.threads.delete(one["thread_id"])


def test_a_search_takes_no_more_ids_than_it_looks_at(client: SyncLangGraphClient) -> None:
    """Each would be compared with each thread."""
    assert client.threads.search(ids=["unknown"] * 1000) == []
    with pytest.raises(BadRequestError):
        client.threads.search(ids=["unknown"] * 1001)
