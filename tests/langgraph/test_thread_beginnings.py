"""What threads begin with, by langgraph-sdk for Python: another's messages, or supersteps."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

import pytest
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import BadRequestError, NotFoundError

from tests.langgraph.sdk import HELLO, LOOKS, copy_of, says
from tests.support.waiting import wait_for


def test_a_copy_goes_its_own_way(client: SyncLangGraphClient) -> None:
    """It has the metadata and the messages, under their ids; the original keeps to itself."""
    thread_id = client.threads.create(metadata={"tag": "a"})["thread_id"]
    client.runs.wait(thread_id, "agent", input=HELLO, metadata=says("one"))
    copy = copy_of(client, thread_id)
    original: Any = client.threads.get(thread_id)
    assert copy["thread_id"] != thread_id
    assert (copy["values"], copy["metadata"]) == (original["values"], {"tag": "a"})
    state: Any = client.threads.get_state(copy["thread_id"])
    assert state["values"] == original["values"]
    again: Any = client.runs.wait(copy["thread_id"], "agent", input=HELLO, metadata=says("two"))
    assert [one["content"] for one in again["messages"]] == ["hello", "one", "hello", "two"]
    assert client.threads.get(thread_id)["values"] == original["values"]
    with pytest.raises(NotFoundError):
        client.threads.copy(str(uuid.uuid4()))


def test_a_copy_has_what_is_whole(client: SyncLangGraphClient) -> None:
    """A run that goes on is none of it."""
    thread_id = str(uuid.uuid4())
    whole: Any = client.runs.wait(thread_id, "agent", input=HELLO, metadata=says("one"))
    held: Any = {"steps": [{"text": "begun"}, {"hold": True}]}
    run = client.runs.create(thread_id, "agent", input=HELLO, metadata=held)
    wait_for(lambda: client.threads.get(thread_id)["status"] == "busy", "the run")
    copy = copy_of(client, thread_id)
    assert (copy["values"], copy["status"]) == (whole, "idle")
    client.runs.cancel(thread_id, run["run_id"])


def test_the_answer_before_is_replaced_in_a_copy(client: SyncLangGraphClient) -> None:
    """A run at the checkpoint before the copy's newest exchange takes that exchange's place."""
    thread_id = str(uuid.uuid4())
    client.runs.wait(thread_id, "agent", input=HELLO, metadata=says("one"))
    copy_id = copy_of(client, thread_id)["thread_id"]
    before: Any = client.threads.get_state(copy_id)["parent_checkpoint"]
    more: Any = {"checkpoint_id": before["checkpoint_id"], "metadata": says("two")}
    values: Any = client.runs.wait(copy_id, "agent", input=HELLO, **more)
    assert [one["content"] for one in values["messages"]] == ["hello", "two"]


def superstep(values: Any, **more: Any) -> Any:
    """A superstep of one update."""
    return {"updates": [{"values": values, "as_node": "agent", **more}]}


def test_a_thread_begins_with_messages(client: SyncLangGraphClient) -> None:
    """Of another deployment's thread, call and result included; a later one replaces its like."""
    call = {"id": "c-1", "name": "add", "args": {"a": 1}}
    said = [{"type": "text", "text": "Two."}]
    steps = [
        superstep({"messages": [{"type": "human", "content": "old", "id": "h-1"}]}),
        superstep({"messages": {"role": "user", "content": "1+1?", "id": "h-1"}}),
        superstep({"messages": [{"type": "ai", "content": "", "tool_calls": [call]}]}),
        superstep({"messages": [{"type": "tool", "content": "2", "tool_call_id": "c-1"}]}),
        superstep(None),
        superstep({"messages": [{"role": "assistant", "content": said}]}),
    ]
    thread_id = client.threads.create(supersteps=steps)["thread_id"]
    for _ in range(LOOKS):
        state: Any = client.threads.get_state(thread_id)
        messages = state["values"]["messages"]
        assert [(one["type"], one["content"]) for one in messages] == [
            *(("human", "1+1?"), ("ai", ""), ("tool", "2"), ("ai", "Two.")),
        ]
    assert messages[0]["id"] == "h-1"
    assert messages[1]["tool_calls"] == [{**call, "type": "tool_call"}]
    values: Any = client.runs.wait(thread_id, "agent", input=HELLO, metadata=says("one"))
    assert values["messages"][:4] == messages
    assert [one["content"] for one in values["messages"][4:]] == ["hello", "one"]


def test_agents_get_what_a_thread_begins_with(client: SyncLangGraphClient) -> None:
    """As the history of its first run."""
    told = [{"type": "human", "content": "before"}, {"type": "ai", "content": "said"}]
    thread_id = client.threads.create(supersteps=[superstep({"messages": told})])["thread_id"]
    tell: Any = {"steps": [{"tell": "history"}]}
    values: Any = client.runs.wait(thread_id, "agent", input=HELLO, metadata=tell)
    assert json.loads(values["messages"][-1]["content"]) == [
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "said"},
    ]


BAD_STEPS: Final[dict[str, Any]] = {
    "a command": superstep({"messages": []}, command={"goto": "x"}),
    "other values": superstep({"messages": [], "topic": "x"}),
    "no object": superstep({"messages": ["hello"]}),
    "a system's message": superstep({"messages": [{"type": "system", "content": "x"}]}),
    "an image": superstep({"messages": [{"type": "human", "content": [{"type": "image"}]}]}),
    "no text": superstep({"messages": [{"type": "human", "content": 1}]}),
    "a call without a name": superstep(
        {"messages": [{"type": "ai", "content": "", "tool_calls": [{"id": "c", "args": {}}]}]}
    ),
    "no arguments": superstep(
        {"messages": [{"type": "ai", "content": "", "tool_calls": [{"id": "c", "name": "n"}]}]}
    ),
    "a result of nothing": superstep({"messages": [{"type": "tool", "content": "x"}]}),
}


@pytest.mark.parametrize("what", BAD_STEPS)
def test_what_a_thread_cannot_begin_with_is_refused(client: SyncLangGraphClient, what: str) -> None:
    """And no thread is made."""
    thread_id = str(uuid.uuid4())
    with pytest.raises(BadRequestError) as caught:
        client.threads.create(thread_id=thread_id, supersteps=[BAD_STEPS[what]])
    body: Any = caught.value.body
    assert (body["code"], body["details"]["field"]) == ("invalid_request", "supersteps")
    with pytest.raises(NotFoundError):
        client.threads.get(thread_id)


def test_a_thread_begins_with_no_more_than_an_agent_gets(client: SyncLangGraphClient) -> None:
    """A whole thread larger than ``AGENT_MAX_HISTORY_BYTES`` is refused, and none is made."""
    thread_id = str(uuid.uuid4())
    large = superstep({"messages": [{"type": "human", "content": "x" * 262_144}]})
    with pytest.raises(BadRequestError) as caught:
        client.threads.create(thread_id=thread_id, supersteps=[large])
    body: Any = caught.value.body
    assert "AGENT_MAX_HISTORY_BYTES" in body["details"]["reason"]
    with pytest.raises(NotFoundError):
        client.threads.get(thread_id)


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("field", ["metadata", "supersteps"])
def test_what_cannot_be_shown_again_makes_no_thread(
    client: SyncLangGraphClient, field: str
) -> None:
    """Else each search of its tenant's threads would fail, since an answer is nested deeper."""
    deep = nested(200)
    call = {"id": "c", "name": "n", "args": {"deep": deep}}
    said = {"messages": [{"type": "ai", "content": "", "tool_calls": [call]}]}
    bodies: Any = {"metadata": {"deep": deep}, "supersteps": [superstep(said)]}
    thread_id = str(uuid.uuid4())
    with pytest.raises(BadRequestError) as caught:
        client.threads.create(thread_id=thread_id, **{field: bodies[field]})
    body: Any = caught.value.body
    assert (body["code"], body["details"]["field"]) == ("invalid_request", field)
    with pytest.raises(NotFoundError):
        client.threads.get(thread_id)


def test_a_run_is_shown_without_what_is_nested_too_deep(client: SyncLangGraphClient) -> None:
    """Its agent has it, as it has what is too large."""
    thread_id = str(uuid.uuid4())
    client.runs.wait(thread_id, "agent", input=HELLO, metadata={**says("one"), "a": nested(200)})
    found: Any = client.threads.get(thread_id)
    assert "a" not in found["metadata"]
    assert client.threads.search(ids=[thread_id])
    client.threads.delete(thread_id)
