"""A thread's events: their numbers, what a reader gets again, and what it gets at all."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.langgraph.thread import Event, Thread, is_end, text_of
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for

TOOL = {"tool": {"name": "add", "input": {"a": 1}, "output": {"sum": 2}}}
TURNS = 100
CUTTERS = 10


@pytest.fixture
def thread(host: Gunicorn) -> Iterator[Thread]:
    """A new thread."""
    thread = Thread(host)
    yield thread
    thread.close()


def test_numbers_are_the_same_on_every_connection(thread: Thread) -> None:
    """Live or again, on whichever worker: the same events under the same numbers and names."""
    slow = {"tokens": 100, "pause": 0.005}  # read live, and then all at once
    thread.start({"events": ["status", "thinking"]}, {"text": "So. "}, TOOL, slow)
    seen = thread.until_end()
    numbers = [event["seq"] for event in seen]
    assert numbers == sorted(set(numbers))
    assert all(number < 2**53 for number in numbers)
    assert len({event["event_id"] for event in seen}) == len(seen)
    for _ in range(8):
        assert thread.until_end() == seen
    for place in (0, 5, len(seen) - 2):
        assert thread.until_end(since=seen[place]["seq"]) == seen[place + 1 :]


def test_the_state_at_a_question_has_what_was_said(thread: Thread) -> None:
    """A page that comes then shows it by the state, under the id that the message goes on with."""
    thread.start({"text": "Which? "}, {"ask": "The color?"})
    seen: list[Event] = []
    for event in thread.events():
        seen.append(event)
        if event["method"] == "input.requested":
            break
    wait_for(lambda: thread.state()["tasks"][0]["interrupts"], "every worker knows it")
    message = thread.state()["values"]["messages"][-1]
    assert (message["type"], message["content"]) == ("ai", "Which? ")
    begun = next(one["params"]["data"] for one in seen if one["method"] == "messages")
    assert message["id"] == begun["id"]


def test_numbers_do_not_depend_on_the_channels(thread: Thread) -> None:
    """Who asks for some channels gets those events as who asks for all of them."""
    thread.start({"text": "So. "}, TOOL, {"tokens": 3})
    everything = thread.until_end()
    for channel in ("messages", "values", "tools", "checkpoints"):
        wanted = [one for one in everything if one["method"] in (channel, "lifecycle")]
        assert thread.until_end(channel, "lifecycle") == wanted


def test_the_stream_stays_open_between_runs(thread: Thread) -> None:
    """A reader that is there before the first run gets it and the next, on one connection."""
    events = thread.events("lifecycle", "messages")
    with ThreadPoolExecutor(1) as pool:
        ends = pool.submit(lambda: [next(e for e in events if is_end(e)) for _ in range(2)])
        thread.start({"text": "one"})
        wait_for(lambda: thread.state()["next"] == [], "the first run's end")
        thread.start({"text": "two"})
        first, second = ends.result(timeout=20)
    assert first["seq"] < second["seq"]
    assert {first["params"]["data"]["event"], second["params"]["data"]["event"]} == {"completed"}


def test_a_run_is_announced_before_it_says_anything(thread: Thread) -> None:
    """A reader hears of a run, with the user's message, while its agent is silent."""
    thread.start({"hold": True}, text="quietly")
    events = thread.events("lifecycle", "values")
    assert next(events)["params"]["data"]["event"] == "running"
    (message,) = next(events)["params"]["data"]["messages"]
    assert message["content"] == "quietly"
    assert thread.state()["values"]["messages"] == [message]


def test_state_and_values_are_one(thread: Thread) -> None:
    """What the last values say is the thread's state, message by message, ids too."""
    thread.start({"text": "So. "}, TOOL, TOOL, {"text": "There."})
    thread.start({"text": "More."}, text="and?")
    events = thread.until_end("values", "lifecycle", runs=2)
    values = [event for event in events if event["method"] == "values"]
    assert values[-1]["params"]["data"] == thread.state()["values"]
    assert [one["type"] for one in thread.state()["values"]["messages"]] == [
        *("human", "ai", "tool", "ai", "tool", "ai", "human", "ai")
    ]


def test_a_question_ends_a_run_and_its_answer_begins_one(thread: Thread) -> None:
    """The interrupt is in the state while it waits; its answer goes on as another run."""
    run_id = thread.start({"text": "Which? "}, {"ask": "The color?"}, {"text": "!"})
    before = thread.until_end()
    (asked,) = [event for event in before if event["method"] == "input.requested"]
    data = asked["params"]["data"]
    assert data["payload"] == {"prompt": "The color?"}

    def interrupts() -> list[str]:
        return [one["id"] for task in thread.state()["tasks"] for one in task["interrupts"]]

    # The other worker knows it from the journal, which may be a moment behind the live stream.
    wait_for(lambda: interrupts() == [data["interrupt_id"]], "the state has the interrupt")
    refused = thread.command("input.respond", namespace=[], interrupt_id="nobody", response=1)
    assert (refused["type"], refused["error"]) == ("error", "no_such_interrupt")
    answer = {"namespace": [], "interrupt_id": data["interrupt_id"], "response": "red"}
    assert thread.command("input.respond", **answer)["type"] == "success"
    after = thread.until_end(since=before[-1]["seq"])
    assert [event["method"] for event in after][:2] == ["input.answered", "lifecycle"]
    assert run_id not in after[1]["event_id"]
    assert thread.state()["tasks"] == []
    assert thread.state()["values"]["messages"][-1]["content"] == "Which? red!"


def test_cancel_ends_a_run(thread: Thread) -> None:
    """Its lifecycle ends interrupted, and the run says so."""
    run_id = thread.start({"text": "So. "}, {"hold": True})
    assert thread.http.post(f"{thread.url}/runs/{run_id}/cancel?wait=0").json()["run_id"] == run_id
    assert thread.until_end()[-1]["params"]["data"]["event"] == "interrupted"
    assert thread.http.get(f"{thread.url}/runs/{run_id}").json()["status"] == "interrupted"
    (listed,) = thread.http.get(f"{thread.url}/runs").json()
    assert listed["run_id"] == run_id
    unknown = run_id[:-1] + ("0" if run_id[-1] != "0" else "1")
    assert thread.http.post(f"{thread.url}/runs/{unknown}/cancel").status_code == 404


def test_what_becomes_of_a_run_that_is_there(thread: Thread) -> None:
    """It is waited for, or it is in the way, or it is ended."""
    thread.start({"wait": 0.5}, {"text": "one"})
    thread.start({"text": "two"}, text="waits")
    body = {"id": 1, "method": "run.start", "params": {"assistant_id": "a", "input": "hi"}}
    body["params"]["multitask_strategy"] = "reject"  # type: ignore[index] # it is a dict
    assert thread.http.post(f"{thread.url}/commands", json=body).status_code == 409
    thread.until_end(runs=2)
    thread.start({"hold": True}, text="held")
    thread.start({"text": "three"}, text="at once", multitask_strategy="interrupt")
    ends = [one["params"]["data"]["event"] for one in thread.until_end(runs=4) if is_end(one)]
    assert ends == ["completed", "completed", "interrupted", "completed", "completed"]


def test_the_newest_exchange_is_begun_again(thread: Thread) -> None:
    """From the checkpoint before it, with other words; older ones are refused by name."""
    thread.start({"text": "one"}, text="first")
    thread.start({"text": "two"}, text="second")
    events = thread.until_end("checkpoints", "lifecycle", runs=2)
    checkpoints = [one["params"]["data"] for one in events if one["method"] == "checkpoints"]
    forked = {"configurable": {"checkpoint_id": checkpoints[-2]["parent_id"]}}
    thread.start({"text": "three"}, text="other", config=forked)
    wait_for(lambda: thread.state()["next"] == [], "the end")
    said = [one["content"] for one in thread.state()["values"]["messages"]]
    assert said == ["first", "one", "other", "three"]
    forked = {"configurable": {"checkpoint_id": checkpoints[0]["parent_id"]}}
    refused = thread.command("run.start", assistant_id="a", input="hi", config=forked)
    assert refused["error"] == "no_such_checkpoint"


def test_names_of_messages_are_the_wires_alone(host: Gunicorn, thread: Thread) -> None:
    """What agents and other wires get of the history has none."""
    named = {"messages": [{"type": "human", "content": "hi", "id": "mine"}]}
    thread.start({"text": "one"}, input=named)
    assert thread.until_end("lifecycle")
    thread.start({"tell": "history"}, text="and?")
    thread.until_end("lifecycle", runs=2)
    first, *_, last = thread.state()["values"]["messages"]
    assert first["id"] == "mine"
    plain = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "one"}]
    assert json.loads(last["content"]) == plain
    assert ReadingClient(host).session(thread.id)["messages"][:2] == plain


def test_a_message_that_comes_once_more_is_another(thread: Thread) -> None:
    """Also under the same id: what answers it has names of its own."""
    named = {"messages": [{"type": "human", "content": "hi", "id": "mine"}]}
    for text in ("one", "two"):
        thread.start({"text": text}, input=named)
    values = [one for one in thread.until_end("values", "lifecycle", runs=2) if not is_end(one)]
    messages = values[-1]["params"]["data"]["messages"]
    assert messages == thread.state()["values"]["messages"]
    assert [one["content"] for one in messages] == ["hi", "one", "hi", "two"]
    assert len({one["id"] for one in messages}) == 4


def test_bad_commands_are_refused_by_name(thread: Thread) -> None:
    """Unknown ones, those that HTTP has none of, and such without what they need."""
    for method, params, error in (
        ("state.fork", {}, "unknown_command"),
        ("run.stop", {}, "unknown_command"),
        ("run.start", {"input": "hi"}, "invalid_argument"),
        ("run.start", {"assistant_id": "a", "input": None}, "invalid_argument"),
        ("input.respond", {"response": 1}, "invalid_argument"),
        ("input.respond", {"interrupt_id": "i", "goto": "node"}, "not_supported"),
    ):
        assert thread.command(method, **params)["error"] == error, method
    assert thread.http.get(f"{thread.url}/state").status_code == 404
    bad = {"channels": ["debug"]}
    assert thread.http.post(f"{thread.url}/stream/events", json=bad).status_code == 400
    assert thread.http.post(f"{thread.url}/commands", json={"id": "1"}).status_code == 400


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_turns_that_are_cut_lose_and_double_nothing(host: Gunicorn) -> None:
    """A hundred turns whose readers are cut off at random, and come back to any worker.

    Every second one names the last event that it has; the others get all again, and drop what they
    have by its name, as the two kinds of clients do.
    """
    with ThreadPoolExecutor(CUTTERS) as pool:
        cuts = sum(pool.map(lambda seed: _read_with_cuts(host, seed), range(TURNS)))
    assert cuts > 2 * TURNS


def _read_with_cuts(host: Gunicorn, seed: int) -> int:
    chance = random.Random(seed)  # noqa: S311 - a test that can be repeated
    thread = Thread(host)
    try:
        words = chance.randrange(20, 60)
        steps: list[dict[str, Any]] = [{"text": "So. "}, TOOL, {"tokens": words, "pause": 0.01}]
        thread.start(*steps, text=f"turn {seed}")
        found: list[Event] = []
        cuts = 0
        while not (found and is_end(found[-1])):
            names = {event["event_id"] for event in found}
            since = {"since": found[-1]["seq"]} if found and seed % 2 else {}
            left = chance.randrange(1, 40)
            for event in thread.events(**since):
                if event["event_id"] in names:
                    assert not since, "what the reader has comes again"
                    continue
                found.append(event)
                left -= 1
                if not left or is_end(event):
                    break
            cuts += 1
        assert found == thread.until_end(), f"seed {seed}"
        assert text_of(found) == "So. " + "".join(f"w{n} " for n in range(1, words + 1))
        return cuts
    finally:
        thread.close()
