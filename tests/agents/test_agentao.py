"""Agentao's agents in the conversation, each session's in its tenant's directory."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from agentao import Agentao
from agentao.tools.base import AsyncToolBase, RegistrableTool, Tool
from flask import Flask

from tests.agents.bench import AgentBench, events_of
from tests.support.agentao_tools import FunctionTool
from tests.support.conversation import add, pick_colour, read_file, transcript
from tests.support.documentation import block
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    Cut,
    Refuse,
    Script,
    Stall,
    Text,
    ToolCalls,
    scripted_message,
)
from tests.support.waiting import wait_for
from wsgi_app import AgentHost, Turn
from wsgi_app.agents.agentao import AgentaoAgent, AgentaoSession
from wsgi_app.store.base import SessionKey


class NapTool(AsyncToolBase):
    """An asynchronous tool that tells on which thread it ran, then ends with the turn."""

    name = "nap"
    description = "Sleep."
    parameters: ClassVar = {"type": "object", "properties": {}}

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the package's own
        self.threads: list[str] = []
        self.cancelled = threading.Event()

    async def async_execute(self, **_: Any) -> str:
        """Sleep for long."""
        self.threads.append(threading.current_thread().name)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "rested"


def make_with(
    upstream: Upstream, *tools: RegistrableTool, **options: Any
) -> Callable[..., Agentao]:
    """What an application that has Agentao hands to the host."""

    def make(**session: Any) -> Agentao:
        return Agentao(
            api_key="sk-upstream-test-key",
            base_url=upstream.url,
            model="test-model",
            extra_tools=tools,
            **{"enabled_tools": (), **session, **options},
        )

    return make


def conversation_tools() -> list[Tool]:
    """The tools of the conversation, made again."""
    return [FunctionTool(add), FunctionTool(read_file), FunctionTool(pick_colour)]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The model's provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory of the worker's user."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


class Sessions:
    """Runs turns of one agent on the engine. Used by the test's thread alone."""

    def __init__(self, agent: AgentaoAgent, upstream: Upstream, folder: Path) -> None:
        self.bench = AgentBench(self._once, upstream, workdir=folder)
        self._agent = agent
        self._opened: list[AgentaoSession] = []

    def open(self) -> AgentaoSession:
        """A session's agent, closed at the end of the test."""
        self._opened.append(self._agent())
        return self._opened[-1]

    def run(
        self,
        session: AgentaoSession,
        *scripts: Script,
        answer: Any = None,
        key: SessionKey | None = None,
    ) -> list[dict[str, Any]]:
        """The events of a turn; its questions get ``answer``."""
        run = self.bench.turns.start(session, scripted_message(*scripts), key=key)
        self.bench.finish(run, answer)
        return events_of(run)

    def close(self) -> None:
        """Close what is open."""
        for session in self._opened:
            session.close()
        self.bench.close()

    def _once(self, turn: Turn) -> None:
        """A session of one turn."""
        with closing(self._agent()) as session:
            session(turn)


@pytest.fixture
def sessions(upstream: Upstream, tmp_path: Path, home: Path) -> Iterator[Sessions]:
    """Agents with the conversation's tools alone."""
    assert home.exists()

    def make(**session: Any) -> Agentao:
        return make_with(upstream, *conversation_tools())(**session)

    sessions = Sessions(AgentaoAgent(make), upstream, tmp_path / "work")
    yield sessions
    sessions.close()


@pytest.fixture
def with_tools(upstream: Upstream, tmp_path: Path, home: Path) -> Iterator[Callable[..., Sessions]]:
    """Makes agents with other tools and settings."""
    assert home.exists()
    made: list[Sessions] = []

    def make(*tools: RegistrableTool, max_steps: int | None = None, **options: Any) -> Sessions:
        agent = AgentaoAgent(make_with(upstream, *tools, **options), max_steps=max_steps)
        made.append(Sessions(agent, upstream, tmp_path / "work"))
        return made[-1]

    yield make
    for sessions in made:
        sessions.close()


def call_of(tool: str, arguments: str = "{}") -> Script:
    """A step in which the model calls one tool."""
    return (ToolCalls((Call("c1", tool, arguments),)),)


ANSWER: Script = (Text(("Done.",)),)


@pytest.mark.parametrize(
    "script", [(Stall(),), (Text(("Hel",)), Stall())], ids=["before", "within"]
)
def test_a_silent_provider_is_left_at_once(sessions: Sessions, script: Script) -> None:
    """A cancel closes the connection while the model says nothing; the next turn works."""
    session = sessions.open()
    run = sessions.bench.turns.start(session, scripted_message(script))
    wait_for(lambda: sessions.bench.upstream.busy, "the request")
    asked_at = time.monotonic()
    sessions.bench.turns.runner.cancel(run.fence.key, None, "user")
    sessions.bench.wait_no_request()
    assert time.monotonic() - asked_at < 1
    assert run.thread is not None
    run.thread.join(5)
    assert not run.thread.is_alive()
    assert sessions.run(session, ANSWER)[-1]["reply"] == "Done."


@pytest.mark.parametrize(
    ("script", "details"),
    [
        ((Refuse(401),), {"status": 401}),
        ((Refuse(400),), {"status": 400}),
        ((Text(("Hel",)), Cut()), {}),
    ],
    ids=["401", "400", "cut"],
)
def test_a_failing_provider_ends_the_turn_without_its_text(
    sessions: Sessions, script: Script, details: dict[str, Any]
) -> None:
    """The turn ends with upstream_error and the status; the next one starts from the history."""
    session = sessions.open()
    key = SessionKey("tenant", "failing")
    events = sessions.run(session, script, key=key)
    assert (events[-1]["code"], events[-1]["details"]) == ("upstream_error", details)
    assert "secret" not in str(events)
    assert sessions.run(session, ANSWER, key=key)[-1]["reply"] == "Done."
    messages = sessions.bench.upstream.requests[-1].body["messages"]
    assert "API error" not in str(messages)


def test_a_provider_that_fails_for_a_moment_is_asked_again(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agentao's own retries are told as status; the last failure ends the turn."""
    monkeypatch.setattr("agentao.llm.client.MAX_RETRY_ATTEMPTS", 2)
    refused = (Refuse(500, retry_after_seconds=0.01),)
    events = sessions.run(sessions.open(), refused, ANSWER)
    assert [event["type"] for event in events] == ["status", "token", "done"]
    events = sessions.run(sessions.open(), refused)
    assert events[-1]["details"] == {"status": 500}
    assert events[-1]["retryable"] is True


def test_steps_are_bounded(with_tools: Callable[..., Sessions]) -> None:
    """More steps than AGENT_MAX_STEPS, or than the agent's own bound, end with step_limit."""
    sessions = with_tools(*conversation_tools(), max_steps=2)
    calls = call_of("add", '{"a": 1, "b": 1}'), call_of("add", '{"a": 2, "b": 2}'), ANSWER
    events = sessions.run(sessions.open(), *calls)
    assert (events[-1]["code"], events[-1]["details"]) == ("step_limit", {"max_steps": 2})
    assert len(sessions.bench.upstream.requests) == 2


def test_an_agent_goes_on_where_it_was(sessions: Sessions) -> None:
    """The session's object keeps its messages, calls and results among them."""
    session, key = sessions.open(), SessionKey("tenant", "kept")
    sessions.run(session, call_of("add", '{"a": 20, "b": 3}'), ANSWER, key=key)
    sessions.run(session, ANSWER, key=key)
    roles = [message["role"] for message in sessions.bench.upstream.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_a_new_object_starts_from_the_history(sessions: Sessions) -> None:
    """On the worker that takes a session over, the model gets what was said before."""
    key = SessionKey("tenant", "moved")
    sessions.run(sessions.open(), (Text(("My name is Ada.",)),), key=key)
    sessions.run(sessions.open(), ANSWER, key=key)
    messages = sessions.bench.upstream.requests[-1].body["messages"]
    assert {"role": "assistant", "content": "My name is Ada."} in messages


def test_a_broken_off_turn_is_taken_from_the_history(sessions: Sessions) -> None:
    """After a cancel the model gets the text that the user saw, and no call without a result."""
    session, key = sessions.open(), SessionKey("tenant", "broken")
    script = (Text(("Let me see.",)), *call_of("pick_colour"))
    run = sessions.bench.turns.start(session, scripted_message(script), key=key)
    wait_for(lambda: run.questions.waiting, "the question")
    sessions.bench.turns.runner.cancel(run.fence.key, None, "user")
    assert run.thread is not None
    run.thread.join(5)
    assert sessions.run(session, ANSWER, key=key)[-1]["reply"] == "Done."
    messages = sessions.bench.upstream.requests[-1].body["messages"]
    assert "Let me see." in str(messages)
    answered = {message.get("tool_call_id") for message in messages}
    asked = {call["id"] for message in messages for call in message.get("tool_calls") or ()}
    assert asked <= answered
    assert "Cancelled" not in str(messages)


@pytest.mark.parametrize("answer", [True, False])
def test_a_confirmation_is_a_question(with_tools: Callable[..., Sessions], answer: bool) -> None:  # noqa: FBT001 - the case
    """A tool that wants a confirmation runs once the user allows it, and is refused otherwise."""
    sessions = with_tools(FunctionTool(add, asks=True))
    call = call_of("add", '{"a": 2, "b": 3}')
    events = transcript(sessions.run(sessions.open(), call, ANSWER, answer=answer))
    assert [event["type"] for event in events[:3]] == ["tool_call", "input_request", "tool_result"]
    assert events[1]["prompt"] == 'Allow add({"a": 2, "b": 3})?'
    assert events[1]["schema"]["type"] == "boolean"
    assert events[2]["status"] == ("complete" if answer else "error")
    assert events[-1]["reply"] == "Done."


def test_the_models_question_is_the_turns_own(with_tools: Callable[..., Sessions]) -> None:
    """Agentao's ask_user asks the user, with its options."""
    sessions = with_tools(enabled_tools=("ask_user",))
    call = call_of("ask_user", '{"question": "Which?", "options": ["red", "blue"]}')
    events = transcript(sessions.run(sessions.open(), call, ANSWER, answer="blue"))
    assert events[1]["prompt"] == "Which?\n(red / blue)"
    assert events[1]["schema"] == {"type": "string", "examples": ["red", "blue"]}
    assert events[2]["output"] == "blue"


def test_async_tools_run_on_the_agents_loop(with_tools: Callable[..., Sessions]) -> None:
    """They may use what belongs to that loop, and a cancel reaches them."""
    tool = NapTool()
    sessions = with_tools(tool)
    run = sessions.bench.turns.start(sessions.open(), scripted_message(call_of("nap")))
    wait_for(lambda: tool.threads, "the tool runs")
    sessions.bench.turns.runner.cancel(run.fence.key, None, "user")
    assert tool.cancelled.wait(5)
    assert tool.threads == ["wsgi_app-loop-agents"]


def test_each_tenant_has_its_own_directory(
    with_tools: Callable[..., Sessions],
    home: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Files go to the tenant's directory, nothing to the home, prompts to no log."""
    caplog.set_level(logging.DEBUG)
    sessions = with_tools(enabled_tools=("write_file", "read_file"))
    write = call_of("write_file", '{"file_path": "note.txt", "content": "of-ada"}')
    read = call_of("read_file", '{"file_path": "note.txt"}')
    first, second = sessions.open(), sessions.open()
    sessions.run(first, write, ANSWER, answer=True, key=SessionKey("ada", "s"))
    assert (tmp_path / "work/ada/note.txt").read_text() == "of-ada"
    events = sessions.run(second, read, ANSWER, answer=True, key=SessionKey("bob", "s"))
    assert "of-ada" not in str(events)
    assert "of-ada" not in caplog.text
    assert not list(home.rglob("*"))
    assert not list((tmp_path / "work").rglob("*.log"))


def test_a_close_ends_the_clients_connections(sessions: Sessions) -> None:
    """No connection to the provider is left of a closed session; it may be closed twice."""
    session = sessions.open()
    sessions.run(session, ANSWER)
    session.close()
    connections = sessions.bench.upstream.connections
    wait_for(lambda: all(one.closed_at for one in connections), "the connections are closed")
    session.close()


def test_a_function_that_ignores_its_arguments_is_refused(
    upstream: Upstream, tmp_path: Path
) -> None:
    """An agent in another directory than its tenant's answers nothing."""

    def make(**session: Any) -> Agentao:
        return make_with(upstream)(**{**session, "working_directory": tmp_path})

    sessions = Sessions(AgentaoAgent(make), upstream, tmp_path / "work")
    assert sessions.run(sessions.open(), ANSWER)[-1]["code"] == "agent_error"
    assert not upstream.requests
    sessions.close()


def test_readme_shows_how(upstream: Upstream, home: Path) -> None:
    """The page's lines mount agents in an app, and one answers."""
    assert home.exists()
    code = block("python", "AgentaoAgent", "docs/frameworks.md")
    app = Flask("site")
    names = {"AgentHost": AgentHost, "app": app, "api_key": "sk-test", "base_url": upstream.url}
    exec(code, names)  # noqa: S102 - the page's own code
    headers = {"Authorization": "Bearer dev", "Accept": "application/json"}
    client = app.test_client()
    answer = client.post("/agentao/chat/s-1", json={"message": "hi"}, headers=headers)
    assert answer.json is not None
    assert answer.json["reply"] == "Hello from upstream"
    assert client.delete("/agentao/session/s-1", headers=headers).json == {
        "ok": True,
        "deleted": True,
    }
    wait_for(lambda: all(one.closed_at for one in upstream.connections), "its agent is closed")
