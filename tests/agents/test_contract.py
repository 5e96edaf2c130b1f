"""What the host promises of every kind of agent, whatever framework it is made with.

A new adapter is a row of `tests.support.agent_kinds`, and what is its framework's alone has a file
of its own beside this one.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.agents.bench import AgentBench, events_of
from tests.support.agent_kinds import ALL_KINDS, Kinds
from tests.support.conversation import (
    FAILURE,
    GOLDEN,
    SCRIPTS,
    add,
    pick_colour,
    read_file,
)
from tests.support.processes import free_port
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Cut,
    Data,
    Reasoning,
    Refuse,
    Stall,
    Text,
    ToolCalls,
    Usage,
)
from tests.support.waiting import wait_for
from wsgi_app.agents import openai_client
from wsgi_app.store.base import SessionKey

TOOLS: Final = (add, read_file, pick_colour)
KEY: Final = SessionKey("tenant", "session")
ADD_STEP: Final = (ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)), Usage(3, 1))
END_STEP: Final = (Text(("Done.",)), Usage(5, 2))
HALF: Final = Text(("Half",))
SECRET: Final = "upstream-secret-text"
FAULT: Final = {"error": {"message": SECRET}}

#: Frameworks that make text of what a tool returns.
TEXT_ONLY: Final = ("langgraph", "async-graph", "sync-graph", "agentflow", "agentao")
#: The words of a failing tool, where they are the framework's own.
FAILURES: Final = {
    "agentflow": f"Internal execution error: {FAILURE}",
    "agentao": f"Error executing read_file: {FAILURE}",
}
#: Where other calls' results wait for a tool that asks: a step's tools are one node of the graph,
#: and Agentao tells the results of a step together.
ALL_AT_ONCE: Final = ("langgraph", "async-graph", "sync-graph", "agentflow", "agentao")
#: How many steps of a model, and of its tools where they count too, lead to the limit of five.
REQUESTS_TO_LIMIT: Final = {
    "langgraph": 3,
    "async-graph": 3,
    "sync-graph": 3,
    "agentflow": 2,
}
#: Under which names a provider sends reasoning that becomes thinking.
CHAT_FIELDS: Final = ("reasoning_content", "reasoning")
RESPONSES_FIELDS: Final = ("reasoning_summary", "reasoning_text")
#: LangChain's model for OpenAI keeps none of the chat API, and of the other what is asked for;
#: Pydantic AI keeps the raw text to itself.
NO_THINKING: Final = {
    ("langgraph", None),
    ("async-graph", None),
    ("sync-graph", None),
    ("pydantic-ai", "reasoning_text"),
    ("agentflow", "reasoning_text"),
}

EVERY = pytest.mark.parametrize("kind", ALL_KINDS)
#: One API of each: what differs between them is in the conversation.
ONE_OF_EACH: Final = [
    kind for kind in ALL_KINDS if kind.endswith(" chat") and kind != "langgraph chat"
]


def framework_of(kind: str) -> str:
    """The first word of a kind."""
    return kind.partition(" ")[0]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Upstream]:
    """The scripted provider, for a user whose home is empty."""
    monkeypatch.setattr(openai_client, "RETRY_SECONDS", 0.02)
    monkeypatch.setenv("HOME", str(tmp_path))  # Agentao looks there
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


class Rig:
    """An agent of one kind on the engine. Used by the test's thread alone."""

    def __init__(self, kind: str, upstream: Upstream, folder: Path, **settings: Any) -> None:
        self.kind = kind
        self._kinds = Kinds(upstream)
        self.bench = AgentBench(self._kinds.make(kind, TOOLS), upstream, workdir=folder, **settings)

    def close(self) -> None:
        """Close the model's clients, on the loop that they were used on."""
        self.bench.turns.run(self._kinds.close)
        self.bench.close()


@pytest.fixture
def settings() -> dict[str, Any]:
    """The host's settings beside the defaults."""
    return {}


@pytest.fixture
def bench(
    kind: str, upstream: Upstream, tmp_path: Path, settings: dict[str, Any]
) -> Iterator[AgentBench]:
    """The agent on the engine."""
    rig = Rig(kind, upstream, tmp_path, **settings)
    yield rig.bench
    rig.close()


def golden(kind: str) -> list[dict[str, Any]]:
    """The transcript of a kind: the built-in agent's, but for what its framework makes of it."""
    lines = copy.deepcopy(GOLDEN)
    number, failure, _ = [line for line in lines if line["type"] == "tool_result"]
    if framework_of(kind) in TEXT_ONLY:
        number["output"] = "5"
    if words := FAILURES.get(framework_of(kind)):
        failure["output"] = {"error": words}
    return lines


@EVERY
def test_the_conversation_reads_as_it_should(bench: AgentBench, kind: str) -> None:
    """Two steps, three tools, one failing, one asking: the events come in the golden order."""
    races = framework_of(kind) == "agentao"  # each call is reported by the thread that runs it
    assert bench.transcript(calls_race=races) == golden(kind)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_cancel_ends_it_at_any_point(bench: AgentBench, caplog: pytest.LogCaptureFixture) -> None:
    """A cancel at a random point ends the turn within 200 ms, and its request to the provider."""
    bench.cancel_anywhere()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("kind", [one for one in ONE_OF_EACH if one != "sync-graph chat"])
def test_a_silent_model_ends_at_once(bench: AgentBench, upstream: Upstream) -> None:
    """A cancel closes the connection of a model, though nothing comes from it.

    Not where a team's own sync function reads it: nothing reaches into that.
    """
    run = bench.start((Text(("Well",)), Stall()))
    wait_for(lambda: run.log.last_seq == 1, "the first token")
    run.cancel("user")
    upstream.wait_request().connection.wait_closed(2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@EVERY
def test_two_hundred_turns_leave_nothing(bench: AgentBench) -> None:
    """No thread, task, file or process is left of 200 turns, half of them cancelled."""
    bench.leave_nothing(200)


@pytest.mark.parametrize(
    "kind", [kind for kind in ONE_OF_EACH if framework_of(kind) not in ALL_AT_ONCE]
)
def test_results_do_not_wait_for_the_slowest_tool(bench: AgentBench) -> None:
    """While one tool waits for the user, the results of the others are out."""
    run = bench.start(*SCRIPTS)
    wait_for(lambda: run.questions.waiting, "the question", 20)
    wait_for(
        lambda: [one["type"] for one in events_of(run)].count("tool_result") == 2, "two results", 20
    )
    assert run.questions.waiting
    bench.finish(run)


THINKING = [
    pytest.param(kind, field, id=f"{kind}: {field}")
    for kind in ALL_KINDS
    for field in (CHAT_FIELDS if kind.endswith(" chat") else RESPONSES_FIELDS)
    if not NO_THINKING & {(framework_of(kind), field), (framework_of(kind), None)}
]


@pytest.mark.parametrize(("kind", "field"), THINKING)
def test_reasoning_is_thinking(bench: AgentBench, field: str) -> None:
    """Reasoning comes as thinking, under each name that servers give it, and what was used."""
    *said, done = bench.talk((Reasoning(("Hm", "."), field=field), Text(("Ye", "s.")), Usage(2, 1)))
    for kind, whole in (("thinking", "Hm."), ("token", "Yes.")):
        assert "".join(one["content"] for one in said if one["type"] == kind) == whole
    assert [one["type"] for one in said] == sorted(o["type"] for o in said)
    assert done["usage"] == {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}


@EVERY
@pytest.mark.parametrize(
    ("steps", "status", "words"),
    [
        pytest.param((Refuse(500),), 500, "answered with status 500.", id="500"),
        pytest.param((Refuse(401),), 401, "answered with status 401.", id="401"),
        pytest.param((HALF, Cut()), None, "'s answer broke off.", id="closed"),
        pytest.param((HALF, Cut(reset=True)), None, "'s answer broke off.", id="reset"),
        pytest.param((Cut(),), None, "", id="closed before a word"),
        pytest.param((HALF, Data(FAULT)), None, "reported an error.", id="an error within"),
    ],
)
def test_failures_of_the_provider(  # noqa: PLR0913, PLR0917 - a table's columns
    bench: AgentBench,
    kind: str,
    steps: tuple[AnyStep, ...],
    status: int | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A provider that refuses or breaks off ends the turn with upstream_error, and no secret."""
    monkeypatch.setattr("agentao.llm.client.MAX_RETRY_ATTEMPTS", 1)
    events = bench.talk(steps)
    end = events[-1]
    assert (end["type"], end["code"]) == ("error", "upstream_error")
    assert (end["details"], end["retryable"]) == (
        {} if status is None else {"status": status},
        status != 401,
    )
    assert end["message"].startswith("The model provider")
    if framework_of(kind) != "agentao":  # which wraps what broke off as what never came
        assert end["message"].endswith(words)
    assert SECRET not in json.dumps(events)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_provider_that_is_away(
    kind: str, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that cannot be reached ends the turn with upstream_error."""
    monkeypatch.setattr("agentao.llm.client.MAX_RETRY_ATTEMPTS", 1)
    monkeypatch.setattr(upstream, "port", free_port())
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
    rig = Rig(kind, upstream, tmp_path)
    (end,) = rig.bench.talk(END_STEP)
    assert (end["code"], end["message"]) == (
        "upstream_error",
        "The model provider does not answer.",
    )
    rig.close()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_session_goes_on(bench: AgentBench, upstream: Upstream) -> None:
    """The provider gets the turn before, its tools' exchange too, and nothing of it is resent."""
    bench.talk(ADD_STEP, END_STEP, key=KEY)
    events = bench.talk((Text(("Again.",)),), key=KEY)
    sent = [one for one in upstream.requests[-1].body["messages"] if one["role"] != "system"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent[1]["tool_calls"][0]["function"]["name"] == "add"
    assert (sent[2]["content"], sent[3]["content"]) == ("3", "Done.")
    assert [event["type"] for event in events] == ["token", "done"]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("settings", [{"max_steps": 5}])
def test_the_setting_bounds_the_steps(bench: AgentBench, upstream: Upstream, kind: str) -> None:
    """A model that goes on calling tools is stopped at AGENT_MAX_STEPS."""
    # Each another: Agentao ends a turn that calls the same again and again.
    steps = [(ToolCalls((Call(f"c{n}", "add", f'{{"a": {n}, "b": 2}}'),)),) for n in range(6)]
    end = bench.talk(*steps)[-1]
    assert (end["code"], end["details"]) == ("step_limit", {"max_steps": 5})
    assert len(upstream.requests) == REQUESTS_TO_LIMIT.get(framework_of(kind), 5)
