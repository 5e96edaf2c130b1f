"""Frameworks with the host as their model, each as it is, in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from agents import Agent, Runner
from agents.exceptions import ModelBehaviorError
from agents.models.openai_responses import OpenAIResponsesModel
from agents.run import RunConfig
from openai import AsyncOpenAI

from tests.clients.openai_host import openai_host
from tests.clients.said import CLOSED, Turn, turns, turns_of
from tests.sites.environments import environment
from tests.support.node import CLIENTS
from tests.support.processes import clean_environment
from tests.support.reading import wait_observed
from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for
from wsgi_app.auth import DEVELOPMENT_TOKEN
from wsgi_app.compat.python import zip_strict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPTS: Final = tuple(
    sorted(path.stem for path in (CLIENTS / "frameworks").glob("*.py") if path.stem != "saying")
)


#: In the order of what the script tells of them; the last is stopped.
TALKS: Final = (("one", "two"), ("BREAK it",), ("FALTER it",), ("WAIT for me",))


class Talk(NamedTuple):
    """What a framework has told of its conversations, and what the agent got of them."""

    told: dict[str, dict[str, Any]]
    turns: list[Turn]

    def turns_of(self, message: str) -> list[Turn]:
        """The turns that this message began."""
        return turns_of(self.turns, message)


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """The host."""
    with openai_host("tests.support.said_agent:said_app") as server:
        yield server


@pytest.fixture(scope="module", params=SCRIPTS)
def talk(request: pytest.FixtureRequest, server: Gunicorn) -> Talk:
    """Each framework's conversations with the host."""
    before = len(turns(server))
    # Asks for an object where it reads nothing else.
    prefix = "JSON " if request.param == "instructor_partial" else ""
    said = [[prefix + message for message in talk] for talk in TALKS]
    asked = {"url": server.url, "key": DEVELOPMENT_TOKEN, "say": said, "stop": said[-1][-1]}
    lines = run(request.param, asked)
    messages = [message for talk in TALKS for message in talk]
    assert len(lines) == len(messages), lines
    wait_for(lambda: turns_of(turns(server)[before:], "WAIT"), "the last turn")
    return Talk(dict(zip_strict(messages, lines)), turns(server)[before:])


def run(script: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a framework's script; returns what it tells."""
    # One environment: at these versions they agree on what they need.
    pins = (CLIENTS / "frameworks" / "requirements.txt").read_text()
    python = environment("frameworks", pins, with_host=False) / "bin" / "python"
    done = subprocess.run(
        [str(python), str(CLIENTS / "frameworks" / f"{script}.py"), json.dumps(asked)],
        # Nothing is fetched: litellm would look for prices.
        env={**clean_environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_conversation_streams_and_nothing_is_lost(talk: Talk) -> None:
    """Each reply comes in pieces, each message is one turn, and the second knows the first."""
    for message in ("one", "two"):
        assert talk.told[message]["text"] == "Hello world"
        assert talk.told[message]["pieces"] > 1
        assert len(talk.turns_of(message)) == 1
    (second,) = talk.turns_of("two")
    told = [message for message in second.messages if message["role"] != "system"]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert "one" in told[0]["content"]
    assert "Hello world" in told[1]["content"]


def test_a_failure_is_reported_and_not_repeated(talk: Talk) -> None:
    """Of a turn that fails for good, before or behind some text, the framework makes one run."""
    for message in ("BREAK it", "FALTER it"):
        assert CLOSED in talk.told[message].get("error", ""), talk.told
        assert len(talk.turns_of(message)) == 1


def test_a_stop_ends_the_turn(talk: Talk, server: Gunicorn) -> None:
    """Who stops reading has the turn cancelled, and it is not begun again."""
    assert "Hello".startswith(talk.told["WAIT for me"]["text"].strip())
    (turn,) = talk.turns_of("WAIT for me")
    wait_observed(server, "cancelled", turn.session_id)


def test_a_cut_answer_is_an_exception_in_the_agents_sdk(server: Gunicorn) -> None:
    """What a length limit has cut is `response.incomplete`: streamed, that SDK raises for it."""

    async def converse(message: str) -> Any:
        url = f"{server.url}/agents/v1"
        async with AsyncOpenAI(base_url=url, api_key=DEVELOPMENT_TOKEN) as client:
            model = OpenAIResponsesModel(model="agent", openai_client=client)
            config = RunConfig(tracing_disabled=True)
            run = Runner.run_streamed(Agent(name="a", model=model), message, run_config=config)
            async for _ in run.stream_events():
                pass
            return run.final_output

    assert asyncio.run(converse("hello")) == "Hello world"
    with pytest.raises(ModelBehaviorError, match="incomplete"):
        asyncio.run(converse("CUT it"))
