"""The history: always valid for a provider, in a budget, and readable for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agents.bench import AgentBench
from tests.support.conversation import SCRIPTS, add, pick_colour, read_file
from tests.support.turns import TurnBench, events_of
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Stall, Text, ToolCalls
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent
from wsgi_app.engine.turn.failures import lost_messages
from wsgi_app.engine.turn.history import answer_messages, for_agent, for_people
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.engine.turn.valid_messages import NO_RESULT
from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    FileGiven,
    Status,
    Token,
    ToolCall,
    ToolResult,
    encode_event,
)
from wsgi_app.store.base import Message, SessionKey

DONE = Done("", "s", "1")
ENDS = (DONE, Cancelled("user"), Error("agent_error", "The agent failed."))
KEY = SessionKey("tenant", "history")

ids = st.sampled_from(["a", "b", "c", "", "x" * 60])
events = st.lists(
    st.one_of(
        st.builds(Token, st.sampled_from(["one ", "two ", ""])),
        st.builds(ToolCall, st.sampled_from(["add", "no name!"]), ids, st.just({"n": 1})),
        st.builds(ToolResult, st.just("add"), ids, st.sampled_from([1, "text", None, [1]])),
        st.builds(FileGiven, ids, st.just("a.csv"), st.just("text/csv"), st.just(5)),
    ),
    max_size=12,
)
turns = st.lists(st.tuples(events, st.sampled_from(ENDS)), max_size=6)


def check_valid(messages: list[Message]) -> None:
    """What providers refuse must not be in a history."""
    roles = [message["role"] for message in messages if message["role"] != "tool"]
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting, "a result without its call"
            waiting.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
            continue
        assert not waiting, "a call without its result"
        assert set(message) <= {"role", "content", "tool_calls"}
        waiting = [call["id"] for call in message.get("tool_calls", [])]
        assert len(set(waiting)) == len(waiting)
        for call in message.get("tool_calls", []):
            assert 0 < len(call["id"]) <= 40
            assert call["function"]["name"].replace("_", "").isalnum()
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
        assert message.get("tool_calls") or message["content"]
    assert not waiting, "a call without its result"
    assert "user user" not in " ".join(roles)
    assert roles[:1] in ([], ["user"])
    assert roles[-1:] in ([], ["assistant"])


def store(answers: list[tuple[list[AnyEvent], Any]]) -> list[Message]:
    """What the store holds after such turns."""
    stored: list[Message] = []
    for number, (happened, end) in enumerate(answers):
        stored.append({"role": "user", "content": f"message {number}"})
        stored += answer_messages(happened, end)
    return stored


@given(turns, st.integers(0, 2000))
def test_any_history_is_valid_for_a_provider(answers: Any, budget: int) -> None:
    """Whatever turns sent and however they ended, an agent gets whole exchanges in its budget."""
    got = for_agent(store(answers), budget)
    check_valid(got)
    assert sum(len(json.dumps(message)) for message in got) < 1.5 * budget + 1
    everything = for_agent(store(answers), 10**9)
    check_valid(everything)
    assert [m for m in everything if m["role"] == "user"] == [
        {"role": "user", "content": f"message {number}"}
        for number, (happened, end) in enumerate(answers)
        if not isinstance(end, Error) or answer_messages(without_files(happened), DONE)
    ]


def without_files(happened: list[AnyEvent]) -> list[AnyEvent]:
    """What an agent gets of a turn."""
    return [event for event in happened if not isinstance(event, FileGiven)]


@given(turns)
def test_people_see_each_answer_whole(answers: Any) -> None:
    """A session shows the user's messages, and each turn's whole text as one answer, with files."""
    shown = for_people(store(answers))
    expected: list[dict[str, Any]] = []
    for number, (happened, _) in enumerate(answers):
        expected.append({"role": "user", "content": f"message {number}"})
        text = "".join(event.content for event in happened if isinstance(event, Token))
        given_ids = [event.file_id for event in happened if isinstance(event, FileGiven)]
        if text or given_ids:
            answer: dict[str, Any] = {"role": "assistant", "content": text}
            expected.append({**answer, "files": given_ids} if given_ids else answer)
    for message in shown:
        if "files" in message:
            message["files"] = [file.get("file_id", "") for file in message["files"]]
    assert shown == expected


def test_calls_at_the_same_time_are_one_message() -> None:
    """Text that comes while tools run stands behind their results, and no result is lost."""
    happened: list[AnyEvent] = [
        Token("Look. "),
        ToolCall("add", "1", {}),
        ToolCall("add", "2", {}),
        ToolResult("add", "2", "two"),
        Token("Meanwhile. "),
        ToolResult("add", "1", "one"),
        Token("Done."),
    ]
    first, one, two, text = answer_messages(happened, DONE)
    assert (first["content"], len(first["tool_calls"])) == ("Look. ", 2)
    assert (one["content"], two["content"]) == ("one", "two")
    assert text == {"role": "assistant", "content": "Meanwhile. Done."}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentBench]:
    """The built-in agent on the engine, its model at the scripted provider."""
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        agent = OpenAIAgent("test-model", tools=[add, read_file, pick_colour])
        bench = AgentBench(agent, upstream)
        yield bench
        bench.close()


def test_the_next_turn_tells_the_model_of_its_tools(bench: AgentBench) -> None:
    """The second turn's request holds the first one's calls and results, as they were."""
    bench.talk(*SCRIPTS, key=KEY)
    bench.talk((Text(("Fine",)),), key=KEY)
    messages = bench.upstream.requests[-1].body["messages"]
    check_valid(messages[:-1])
    assert [message["role"] for message in messages] == [
        *("user", "assistant", "tool", "tool", "tool", "assistant"),
        "user",
    ]
    assert messages[2] == {"role": "tool", "tool_call_id": "c1", "content": "5"}
    # The same as the second step of the first turn has sent.
    assert _read(messages[:5]) == _read(bench.upstream.requests[1].body["messages"])


def _read(messages: list[Message]) -> list[Message]:
    """Messages whose calls' arguments are decoded."""
    for call in [call for message in messages for call in message.get("tool_calls", [])]:
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def test_a_turn_stopped_in_a_tool_leaves_a_valid_history(bench: AgentBench) -> None:
    """After a cancel in mid-tool the next request has a result for the call, and a mark."""
    calls = ToolCalls((Call("c1", "pick_colour", "{}"),))
    run = bench.start((Text(("Let me ask. ",)), calls), key=KEY)
    wait_for(lambda: run.questions.waiting, "the question")
    bench.turns.runner.cancel(KEY, None, "user")
    bench.talk((Text(("Fine",)),), key=KEY)
    messages = bench.upstream.requests[-1].body["messages"]
    check_valid(messages[:-1])
    assert messages[2]["content"] == NO_RESULT
    assert "stopped" in messages[3]["content"]


def test_partial_text_of_a_stopped_answer_is_kept_and_marked(bench: AgentBench) -> None:
    """The text of a stopped answer stays; the model is told that it was stopped."""
    run = bench.start((Text(("The answer", " is")), Stall()), key=KEY)
    wait_for(lambda: len(events_of(run)) == 2, "two tokens")
    bench.turns.runner.cancel(KEY, None, "user")
    view = bench.turns.store.history(KEY)
    assert view is not None
    partial = {"role": "assistant", "content": "The answer is"}
    assert for_people(view.messages)[-1] == partial
    assert view.messages[-1] == {**partial, "status": "cancelled"}
    bench.talk((Text(("Fine",)),), key=KEY)
    sent = bench.upstream.requests[-1].body["messages"][1]
    assert sent["content"].startswith("The answer is\n\n(This answer was stopped")


def test_an_agent_gets_whole_exchanges_up_to_the_budget() -> None:
    """AGENT_MAX_HISTORY_BYTES bounds what an agent gets; the newest exchanges stay."""
    bench = TurnBench(max_history_bytes=300)
    seen: list[list[Message]] = []

    def agent(turn: Turn) -> str:
        seen.append(turn.history)
        return "x" * 50

    for number in range(5):
        assert bench.start(agent, f"message {number}", key=KEY).wait_ended(20)
    assert [m["content"] for m in seen[-1] if m["role"] == "user"] == ["message 2", "message 3"]
    bench.runner.close(10)


def test_instructions_await_no_answer() -> None:
    """A client's own system messages, wherever they stand, get no answer put behind them."""
    system = {"role": "system", "content": "Be brief."}
    exchange = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    given = [system, *exchange, system]
    assert for_agent(given, 10_000) == given


def test_a_lost_turn_leaves_what_its_journal_holds() -> None:
    """Text, calls and results, as a cancel leaves them; nothing of a turn that said nothing."""
    call = ToolCall("order", "c1", {"what": "tea"})
    other = ToolCall("pay", "c2", {})
    told: list[AnyEvent] = [Token("Wait. "), call, other, ToolResult("order", "c1", "ordered")]
    messages = lost_messages([encode_event(event) for event in told])
    cancelled = answer_messages(told, Cancelled("user"))
    assert [{**one, "status": ""} for one in messages] == [
        {**one, "status": ""} for one in cancelled
    ]
    assert messages[-1]["content"] == NO_RESULT
    assert messages[-1]["status"] == "error"
    assert lost_messages([encode_event(Status("…"))]) == []
