"""Sessions of the OpenAI Agents SDK as the memory of a session of the host's."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    SQLiteSession,
    function_tool,
)
from openai import AsyncOpenAI

from tests.agents.bench import AgentBench, Host
from tests.support.processes import temporary_folder
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import each_call_has_its_result, messages_of, roles_take_turns
from tests.support.upstream_script import Call, Refuse, Stall, Text, ToolCalls
from tests.support.waiting import wait_for
from wsgi_app import Turn, current_turn
from wsgi_app.agents.openai_agents import AgentsSdkAgent
from wsgi_app.engine.turn.history import NO_ANSWER
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.store.base import SessionKey

KEY = SessionKey("tenant", "s")
END_STEP = (Text(("Done.",)),)
STOPPED = "(This answer was stopped here.)"


def both(number: int = 1) -> tuple[Any, ...]:
    """A step of two calls, whose ids are its own."""
    calls = (Call(f"stock-{number}", "stock", "{}"), Call(f"slow-{number}", "slow", "{}"))
    return (ToolCalls(calls),)


@function_tool
def stock() -> str:
    """Count what is in stock."""
    return "seven boxes"


@function_tool
async def slow() -> str:
    """Ask, and wait."""
    return str(await current_turn().ask_async("Go on?"))


@pytest.fixture
def path() -> Iterator[Path]:
    """A file for the SDK's sessions."""
    with temporary_folder() as folder:
        yield folder / "agents.db"


@pytest.fixture
def client(host: Host, upstream: Upstream) -> Iterator[AsyncOpenAI]:
    """The models' client, closed on the loop that it was used on."""
    client = AsyncOpenAI(base_url=upstream.url, api_key="key", max_retries=0)

    async def close(_: Turn) -> None:
        await client.close()

    yield client
    host(close).talk(END_STEP)


@pytest.fixture(
    params=[
        OpenAIChatCompletionsModel,
        pytest.param(OpenAIResponsesModel, marks=pytest.mark.slow),
    ]
)
def bench(
    request: pytest.FixtureRequest,
    host: Host,
    upstream: Upstream,
    client: AsyncOpenAI,
    path: Path,
) -> AgentBench:
    """An agent of two tools that remembers in a file, before a provider that is strict."""
    upstream.refusals = (each_call_has_its_result, roles_take_turns)
    model: Model = request.param("test-model", client)
    agent = Agent(name="agent", model=model, tools=[stock, slow])
    return host(AgentsSdkAgent(agent, session=lambda name: SQLiteSession(name, path)))


def stop(run: TurnRun) -> None:
    """Cancel a turn, and wait until nothing of it goes on."""
    run.cancel("user")
    wait_for(lambda: not run.goes_on() and run.published.is_set(), "nothing of it goes on")


def seen(upstream: Upstream) -> list[str]:
    """What the provider's last request held, of either API: users' messages as '?'."""
    return [shown for message in messages_of(upstream.requests[-1].body) for shown in show(message)]


def show(message: dict[str, Any]) -> Iterator[str]:
    """A message or item, in a word."""
    if message.get("type") == "function_call":
        yield "call"
    elif message.get("type") == "function_call_output":
        yield str(message["output"])
    elif message["role"] == "user":
        yield "?"
    else:
        content = message.get("content") or ""
        yield from [text_of(content)] if content else []
        yield from ["call"] * len(message.get("tool_calls") or ())


def text_of(content: Any) -> str:
    """The text of a content, in whichever form it is."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def rows_of(path: Path) -> int:
    """How many rows the file holds."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("agent_sessions", "agent_messages")
        return sum(connection.execute(f"select count(*) from {t}").fetchone()[0] for t in tables)  # noqa: S608 - the names are the SDK's


def test_the_sdk_remembers_the_session(bench: AgentBench, upstream: Upstream) -> None:
    """Each exchange is there once."""
    for _ in range(3):
        bench.talk(END_STEP, key=KEY)
    assert seen(upstream) == ["?", "Done.", "?", "Done.", "?"]


def test_a_stop_between_calls_leaves_what_ran(bench: AgentBench, upstream: Upstream) -> None:
    """The model learns both calls and the result that came; the session goes on."""
    run = bench.start(both(), key=KEY)
    wait_for(
        lambda: (
            run.questions.waiting
            and b"seven boxes" in b"".join(entry.json for entry in run.log.read(0, 9))
        ),
        "a result, and a question",
    )
    stop(run)
    bench.talk(END_STEP, key=KEY)
    bench.talk(END_STEP, key=KEY)
    shown = seen(upstream)
    assert shown.count("call") == 2
    assert "seven boxes" in shown
    assert shown[-4:] == [STOPPED, "?", "Done.", "?"]
    assert upstream.refused == []


def test_a_stop_leaves_the_half_answer(bench: AgentBench, upstream: Upstream) -> None:
    """What the user saw is the assistant's, and said once."""
    run = bench.start((Text(("Half an answer",)), Stall()), key=KEY)
    wait_for(lambda: run.log.last_seq, "half an answer")
    stop(run)
    bench.talk(END_STEP, key=KEY)
    bench.talk(END_STEP, key=KEY)
    half = f"Half an answer\n\n{STOPPED}"
    assert seen(upstream) == ["?", half, "?", "Done.", "?"]


def test_a_stop_before_the_first_byte_leaves_an_answer(
    bench: AgentBench, upstream: Upstream
) -> None:
    """The provider never gets two messages of the user in a row."""
    run = bench.start((Stall(),), key=KEY)
    upstream.wait_request()
    stop(run)
    bench.talk(END_STEP, key=KEY)
    assert seen(upstream) == ["?", NO_ANSWER, "?"]


def test_a_refused_message_is_taken_out(bench: AgentBench, upstream: Upstream) -> None:
    """It would be refused in each later turn."""
    bench.talk(END_STEP, key=KEY)
    assert bench.talk((Refuse(400),), key=KEY)[-1]["code"] == "upstream_error"
    bench.talk(END_STEP, key=KEY)
    assert seen(upstream) == ["?", "Done.", "?"]


def test_an_exchange_is_replaced(bench: AgentBench, upstream: Upstream) -> None:
    """The model gets what was before it, also in the next turn."""
    bench.talk(END_STEP, key=KEY)
    bench.talk((Text(("Old.",)),), key=KEY)
    bench.talk((Text(("New.",)),), key=KEY, regenerates=True)
    assert seen(upstream) == ["?", "Done.", "?"]
    bench.talk(END_STEP, key=KEY)
    assert seen(upstream) == ["?", "Done.", "?", "New.", "?"]


def test_a_deletion_leaves_nothing(bench: AgentBench, path: Path) -> None:
    """What the SDK holds goes with the host's session, and a passing session leaves nothing."""
    bench.talk(END_STEP, key=KEY)
    assert rows_of(path) > 0
    bench.turns.runner.delete_session(KEY)
    assert rows_of(path) == 0
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    bench.talk(END_STEP, key=KEY, history=said, ephemeral=True)
    assert rows_of(path) == 0
    assert seen(bench.upstream) == ["?", "two", "?"]


def test_what_the_host_knows_goes_into_an_empty_session(
    bench: AgentBench, upstream: Upstream, path: Path
) -> None:
    """A session that the SDK has lost is begun with the host's history."""
    bench.talk(END_STEP, key=KEY)
    path.unlink()
    bench.talk(END_STEP, key=KEY)
    bench.talk(END_STEP, key=KEY)
    assert seen(upstream) == ["?", "Done.", "?", "Done.", "?"]


def test_sessions_are_closed_behind_each_turn(host: Host, client: AsyncOpenAI, path: Path) -> None:
    """As many are closed as were made, whether close() is awaited or not."""
    made: list[SQLiteSession] = []
    closed: list[int] = []

    class Awaited(SQLiteSession):
        def close(self) -> Any:
            super().close()
            return self._note()

        async def _note(self) -> None:
            await asyncio.sleep(0)
            closed.append(1)

    def make(name: str) -> SQLiteSession:
        made.append(Awaited(name, path))
        return made[-1]

    agent = Agent(name="agent", model=OpenAIChatCompletionsModel("test-model", client))
    bench = host(AgentsSdkAgent(agent, session=make))
    bench.talk(END_STEP, key=KEY)
    run = bench.start((Text(("Half",)), Stall()), key=KEY)
    wait_for(lambda: run.log.last_seq, "half an answer")
    stop(run)
    wait_for(lambda: len(made) == len(closed) == 2, "both are closed")
