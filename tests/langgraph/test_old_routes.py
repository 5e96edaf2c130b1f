"""The routes before the thread protocol: ``client.runs``, ``client.threads``, ``RemoteGraph``."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN

TOOL: Final = {"tool": {"name": "add", "input": {"a": 1}, "output": {"sum": 2}}}
HELLO: Final[Any] = {"messages": [{"role": "user", "content": "hello"}]}
MODES: Final = ["values", "updates", "messages-tuple", "custom"]
#: Cuts within each of them are made up for.
CUT_MODES: Final = [*MODES, "events"]
CUT_TURNS: Final = 40


@pytest.fixture
def url(host: Gunicorn) -> str:
    """Where the SDK finds the host."""
    return f"{host.url}/agents/langgraph"


def steps(*each: dict[str, Any]) -> Any:
    """Metadata that has the agent do these steps."""
    return {"steps": list(each)}


def stream(client: SyncLangGraphClient, thread_id: str, **more: Any) -> list[Any]:
    """A run's parts."""
    return list(client.runs.stream(thread_id, "agent", **more))


def test_a_stream_of_all_modes(client: SyncLangGraphClient) -> None:
    """Its id first, then the state with the user's message, pairs, updates, the state, the end."""
    created: list[Any] = []
    thread_id = client.threads.create()["thread_id"]
    parts = stream(
        client,
        thread_id,
        input=HELLO,
        metadata=steps({"events": ["status"]}, {"text": "So. "}, TOOL, {"text": "It is 2."}),
        stream_mode=MODES,
        on_run_created=created.append,
    )
    assert [part.event for part in parts] == [
        *("metadata", "values", "custom", "messages", "messages"),
        *("updates", "messages", "updates", "values"),
        *("messages", "updates", "values", "end"),
    ]
    assert parts[0].data["run_id"] == created[0]["run_id"]
    assert parts[0].data["thread_id"] == created[0]["thread_id"] == thread_id
    chunk, about = parts[3].data
    assert (chunk["type"], chunk["content"]) == ("AIMessageChunk", "So. ")
    assert about["langgraph_node"] == "agent"
    assert parts[-2].data == client.threads.get_state(thread_id)["values"]
    numbers = [int(str(part.id)) for part in parts]
    assert numbers == sorted(set(numbers))


def test_the_mode_of_raw_events(client: SyncLangGraphClient) -> None:
    """The run, its messages and calls, begun, streamed and ended, as ``astream_events`` has it."""
    thread_id = client.threads.create()["thread_id"]
    client.runs.wait(thread_id, "agent", input=HELLO, metadata=steps({"text": "before"}))
    failing: Any = {"tool": {"name": "add", "input": {"a": 2}, "output": "no", "status": "error"}}
    said = steps({"text": "So. "}, TOOL, failing, {"text": "It is 2."})
    parts = stream(client, thread_id, input=HELLO, metadata=said, stream_mode="events")
    assert {part.event for part in parts} == {"metadata", "events", "end"}
    raw = [part.data for part in parts if part.event == "events"]
    assert [one["event"] for one in raw] == [
        *("on_chain_start", "on_chat_model_start", "on_chat_model_stream"),
        *("on_chat_model_stream", "on_tool_start", "on_tool_end"),
        *("on_chat_model_end", "on_chain_stream", "on_chain_stream"),
        *("on_chat_model_start", "on_chat_model_stream", "on_tool_start", "on_tool_error"),
        *("on_chat_model_end", "on_chain_stream", "on_chain_stream"),
        *("on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"),
        *("on_chain_stream", "on_chain_end"),
    ]
    run_id = parts[0].data["run_id"]
    assert {one["run_id"] for one in raw if "chain" in one["event"]} == {run_id}
    assert all(one["parent_ids"] == [run_id] for one in raw if one["run_id"] != run_id)
    first, *_, last = raw
    assert [one["content"] for one in first["data"]["input"]["messages"]] == [
        *("hello", "before", "hello"),
    ]
    assert last["data"]["output"] == client.threads.get_state(thread_id)["values"]
    by_kind = {one["event"]: one for one in raw}
    assert by_kind["on_tool_end"]["data"] == {"input": {"a": 1}, "output": {"sum": 2}}
    assert by_kind["on_tool_error"]["data"] == {"input": {"a": 2}, "error": "no"}
    assert by_kind["on_tool_end"]["name"] == "add"
    assert by_kind["on_chat_model_stream"]["data"]["chunk"]["content"] == "It is 2."


def test_raw_events_of_a_question(client: SyncLangGraphClient) -> None:
    """The run ends at it, and the one that answers it begins with the state."""
    thread_id = str(uuid.uuid4())
    asked = steps({"ask": "The color?"}, {"text": "!"})
    parts = stream(client, thread_id, input=HELLO, metadata=asked, stream_mode="events")
    start, interrupt, end = [part.data for part in parts if part.event == "events"]
    assert (start["event"], end["event"]) == ("on_chain_start", "on_chain_end")
    assert interrupt["data"]["chunk"]["__interrupt__"][0]["value"] == {"prompt": "The color?"}
    command: Any = {"resume": "red"}
    parts = stream(client, thread_id, command=command, stream_mode="events")
    start, *_, end = [part.data for part in parts if part.event == "events"]
    assert start["event"] == "on_chain_start"
    assert end["data"]["output"]["messages"][-1]["content"] == "red!"


def test_an_interrupt_and_its_answer(client: SyncLangGraphClient) -> None:
    """The stream ends at the question, which the next one's command answers."""
    thread_id = str(uuid.uuid4())
    asked = steps({"text": "Which? "}, {"ask": "The color?"}, {"text": "!"})
    parts = stream(client, thread_id, input=HELLO, metadata=asked, stream_mode=["values"])
    (interrupt,) = parts[-2].data["__interrupt__"]
    assert interrupt["value"] == {"prompt": "The color?"}
    assert client.threads.get(thread_id)["status"] == "interrupted"
    command: Any = {"resume": "red"}
    parts = stream(client, thread_id, command=command, stream_mode=["values", "messages-tuple"])
    assert parts[0].event == "metadata"
    assert [part.data[0]["content"] for part in parts if part.event == "messages"] == ["red", "!"]
    assert parts[-2].data["messages"][-1]["content"] == "Which? red!"
    assert client.threads.get(thread_id)["status"] == "idle"
    with pytest.raises(ConflictError):
        stream(client, thread_id, command=command)


def test_a_new_run_takes_the_place_of_one_that_asks(client: SyncLangGraphClient) -> None:
    """As on LangGraph's servers: who does not answer goes on."""
    thread_id = str(uuid.uuid4())
    client.runs.wait(thread_id, "agent", input=HELLO, metadata=steps({"ask": "The color?"}))
    values: Any = client.runs.wait(thread_id, "agent", input=HELLO, metadata=steps({"text": "one"}))
    assert values["messages"][-1]["content"] == "one"


def test_wait_and_join(client: SyncLangGraphClient) -> None:
    """Both answer with the state in the run's end; a run that fails raises."""
    thread_id = str(uuid.uuid4())
    values: Any = client.runs.wait(thread_id, "agent", input=HELLO, metadata=steps({"text": "one"}))
    assert [one["type"] for one in values["messages"]] == ["human", "ai"]
    run = client.runs.create(thread_id, "agent", input=HELLO, metadata=steps({"wait": 0.3}, TOOL))
    assert run["status"] == "pending"
    joined: Any = client.runs.join(thread_id, run["run_id"])
    assert [one["type"] for one in joined["messages"]] == ["human", "ai", "human", "ai", "tool"]
    assert client.runs.get(thread_id, run["run_id"])["status"] == "success"
    with pytest.raises(Exception, match="The agent failed"):
        client.runs.wait(thread_id, "agent", input=HELLO, metadata=steps({"raise": "ValueError"}))
    own: Any = client.runs.wait(None, "agent", input=HELLO)
    assert own["messages"][-1]["content"] == "hello"


def test_join_stream_and_cancel(client: SyncLangGraphClient) -> None:
    """Who joins gets the run from its start; a second run is in the way; cancel ends it."""
    thread_id = str(uuid.uuid4())
    held = steps({"text": "begun"}, {"hold": True})
    run = client.runs.create(thread_id, "agent", input=HELLO, metadata=held)
    parts = client.runs.join_stream(thread_id, run["run_id"], stream_mode=["messages-tuple"])
    assert next(part for part in parts if part.event == "messages").data[0]["content"] == "begun"
    with pytest.raises(ConflictError):
        client.runs.create(thread_id, "agent", input=HELLO, multitask_strategy="reject")
    client.runs.cancel(thread_id, run["run_id"])
    assert [part.event for part in parts] == ["end"]
    assert client.runs.get(thread_id, run["run_id"])["status"] == "interrupted"


def test_threads_are_listed_and_deleted(client: SyncLangGraphClient) -> None:
    """By what their newest run was started with; one that is deleted is gone."""
    tag = uuid.uuid4().hex
    ids = []
    for _ in range(3):
        thread_id = client.threads.create()["thread_id"]
        client.runs.wait(thread_id, "agent", input=HELLO, metadata={"tag": tag})
        ids.append(thread_id)
    found = client.threads.search(metadata={"tag": tag})
    assert [one["thread_id"] for one in found] == ids[::-1]
    values: Any = found[0]["values"]
    assert values["messages"][0]["content"] == "hello"
    assert client.threads.count(metadata={"tag": tag}) == 3
    assert len(client.threads.search(metadata={"tag": tag}, limit=1, offset=1)) == 1
    client.threads.delete(ids[0])
    with pytest.raises(NotFoundError):
        client.threads.get(ids[0])
    assert client.threads.count(metadata={"tag": tag}) == 2
    with pytest.raises(ConflictError):
        client.threads.create(thread_id=ids[1])
    again = client.threads.create(thread_id=ids[1], if_exists="do_nothing")
    assert dict(again["metadata"] or {})["tag"] == tag


def test_a_client_that_goes_ends_its_run(host: Gunicorn, url: str) -> None:
    """Unless it says that the run shall go on."""
    reading = ReadingClient(host)
    for wanted, end in (({}, "cancelled"), ({"on_disconnect": "continue"}, "done")):
        thread_id = str(uuid.uuid4())
        body = {"assistant_id": "agent", "input": HELLO, **wanted}
        body["metadata"] = steps({"text": "begun"}, {"wait": 2.5}, {"text": "done"})
        place = f"{url}/threads/{thread_id}/runs/stream"
        with httpx.stream("POST", place, json=body, headers=_login()) as answer:
            next(answer.iter_lines())
        reading.wait_idle(thread_id)
        assert reading.poll(thread_id, "0-0", 0)["events"][-1]["type"] == end


def test_remote_graph(client: SyncLangGraphClient) -> None:
    """A graph elsewhere, to LangGraph: invoked, streamed, asked for its state."""
    graph = RemoteGraph("agent", sync_client=client)
    said = {"steps": [{"text": "So. "}, TOOL, {"text": "It is 2."}]}
    config: Any = {"configurable": {"thread_id": str(uuid.uuid4()), **said}}
    values: Any = graph.invoke(HELLO, config)
    assert values["messages"][-1]["content"] == "It is 2."
    updates: list[Any] = list(graph.stream(HELLO, config, stream_mode="updates"))
    assert [list(update) for update in updates] == [["agent"], ["tools"], ["agent"]]
    assert graph.get_state(config).values["messages"][-1]["content"] == "It is 2."
    assert set(graph.get_graph().nodes) == {"__start__", "agent", "__end__"}


def test_what_there_is_none_of_is_refused(client: SyncLangGraphClient) -> None:
    """By its name, instead of a run that lacks it."""
    for field in ("webhook", "interrupt_before"):
        more: Any = {field: ["node"] if field == "interrupt_before" else "https://example.com"}
        with pytest.raises(Exception, match=field):
            client.runs.create(str(uuid.uuid4()), "agent", input=HELLO, **more)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_streams_that_are_cut_lose_and_double_nothing(url: str) -> None:
    """Runs whose streams are cut at random, and gone on with where ``Location`` says."""
    with ThreadPoolExecutor(8) as pool:
        cuts = sum(pool.map(lambda seed: _read_with_cuts(url, seed), range(CUT_TURNS)))
    assert cuts > 2 * CUT_TURNS


def _login() -> dict[str, str]:
    return {"X-Api-Key": DEVELOPMENT_TOKEN}


def _read_with_cuts(url: str, seed: int) -> int:
    chance = random.Random(seed)  # noqa: S311 - a test that can be repeated
    thread_id = str(uuid.uuid4())
    words = chance.randrange(20, 60)
    body = {"assistant_id": "agent", "input": HELLO, "stream_mode": CUT_MODES}
    body["metadata"] = steps({"text": "So. "}, TOOL, {"tokens": words, "pause": 0.01})
    found: list[tuple[str, str, str]] = []
    with httpx.Client(headers=_login(), timeout=20) as http:
        request = http.build_request("POST", f"{url}/threads/{thread_id}/runs/stream", json=body)
        place, cuts = "", 0
        while not found or found[-1][1] != "end":
            answer = http.send(request, stream=True)
            assert answer.status_code == 200
            place = answer.headers["Location"]
            found += _some(answer, chance.randrange(1, 40))
            cuts += 1
            again = {"Last-Event-ID": found[-1][0]} if found else {}
            request = http.build_request("GET", f"{url}{place}", headers=again)
        again = {"Last-Event-ID": "0e"}
        whole = http.send(http.build_request("GET", f"{url}{place}", headers=again), stream=True)
        assert found == _some(whole, 10_000), f"seed {seed}"
    return cuts


def _some(answer: httpx.Response, left: int) -> list[tuple[str, str, str]]:
    """So many events of a stream, or all of them."""
    made: list[tuple[str, str, str]] = []
    fields: dict[str, str] = {}
    try:
        for line in answer.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                made.append((fields["id"], fields["event"], fields["data"]))
                fields = {}
                if len(made) == left or made[-1][1] == "end":
                    break
    finally:
        answer.close()
    return made


FINDER: Final = {
    "child": {
        "name": "finder",
        "steps": [
            {"tokens": 3},
            TOOL,
            {"child": {"name": "reader", "steps": [{"text": "Deep."}]}},
            {"status": "busy"},
            {"tokens": 20, "pause": 0.02},
        ],
    }
}


def test_sub_agents_have_namespaces(client: SyncLangGraphClient) -> None:
    """With `stream_subgraphs` what they do is told in the namespace of their call, else not."""
    thread_id = str(uuid.uuid4())
    options = {"metadata": steps(FINDER, {"text": "Found."}), "stream_mode": MODES}
    quiet = stream(client, thread_id, input=HELLO, **options)
    assert not [part for part in quiet if "|" in part.event]
    parts = stream(client, thread_id, input=HELLO, stream_subgraphs=True, **options)
    assert [p.event for p in parts if "|" not in p.event] == [p.event for p in quiet]
    state: Any = client.threads.get_state(thread_id)
    assert parts[-2].data == state["values"]
    by_space: dict[str, str] = {}
    for part in parts:
        name, _, space = part.event.partition("|")
        if name == "messages" and part.data[0]["type"] == "AIMessageChunk":
            by_space[space] = by_space.get(space, "") + part.data[0]["content"]
            assert part.data[1]["langgraph_checkpoint_ns"] == space
    outer, inner = sorted(space for space in by_space if space)
    assert by_space[""] == "Found."
    assert by_space[inner] == "Deep."
    assert inner.startswith(f"{outer}|tools:")
    assert by_space[outer].startswith("w1 w2 w3 w1 ")
    call = next(p.data[0] for p in parts if p.event == "messages")["tool_call_chunks"][0]
    assert (outer, call["name"]) == (f"tools:{call['id']}", "finder")
    kinds = {part.event.partition("|")[0] for part in parts if "|" in part.event}
    assert kinds == {"messages", "updates", "values", "custom"}


def test_a_cut_within_a_sub_agent_loses_and_doubles_nothing(url: str) -> None:
    """A client that comes back within a namespace gets the rest of it, by its last id alone."""
    body = {"assistant_id": "agent", "input": HELLO, "stream_mode": MODES}
    body["metadata"] = steps(FINDER, {"text": "Found."})
    body["stream_subgraphs"] = True
    with httpx.Client(headers=_login(), timeout=20) as http:
        assert _read_on(http, url, body, 5) > 5


def _read_on(http: httpx.Client, url: str, body: dict[str, Any], size: int) -> int:
    path = f"{url}/threads/{uuid.uuid4()}/runs/stream"
    request = http.build_request("POST", path, json=body)
    found: list[tuple[str, str, str]] = []
    cuts = 0
    while not found or found[-1][1] != "end":
        answer = http.send(request, stream=True)
        place = f"{url}{answer.headers['Location']}"
        found += _some(answer, size)
        cuts += 1
        request = http.build_request("GET", place, headers={"Last-Event-ID": found[-1][0]})
    from_start = http.build_request("GET", place, headers={"Last-Event-ID": "0s"})
    assert found == _some(http.send(from_start, stream=True), 10_000)
    return cuts
