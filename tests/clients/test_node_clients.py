"""The AI SDK's providers for OpenAI's APIs, and CopilotKit's runtime, before the host."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.clients.openai_host import openai_host
from tests.clients.said import CLOSED, Turn, turns, turns_of
from tests.support.node import CLIENTS, install_packages, run_node
from tests.support.reading import wait_observed
from tests.support.servers import Gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN
from wsgi_app.compat.python import zip_strict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TALKS: Final = (("one", "two", "three"), ("BREAK it",), ("FALTER it",), ("WAIT for me",))


class Talk(NamedTuple):
    """What was told of each message, and what the agent got."""

    told: dict[str, dict[str, Any]]
    turns: list[Turn]


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """The host."""
    with openai_host("tests.support.said_agent:said_app") as server:
        yield server


@pytest.fixture(scope="module", params=["responses", "chat", "compatible", "copilotkit"])
def talk(request: pytest.FixtureRequest, server: Gunicorn) -> Talk:
    """The conversations, over each wire."""
    install_packages(CLIENTS / "commands")
    before = len(turns(server))
    is_copilotkit = request.param == "copilotkit"
    lines = run_node(
        f"commands/{'copilotkit' if is_copilotkit else 'ai_sdk_providers'}.mjs",
        session=secrets.token_hex(8),
        url=server.url,
        key=DEVELOPMENT_TOKEN,
        provider=request.param,
        say=TALKS,
        stop=TALKS[-1][-1],
    )
    messages = [message for talk in TALKS for message in talk]
    return Talk(dict(zip_strict(messages, lines)), turns(server)[before:])


def test_a_conversation_streams_and_nothing_is_lost(talk: Talk) -> None:
    """Of each message one turn, whose agent gets the texts before it (some sent by their ids)."""
    for message in TALKS[0]:
        assert talk.told[message] == {"text": "Hello world", "pieces": 2}
        assert len(turns_of(talk.turns, message)) == 1
    (third,) = turns_of(talk.turns, "three")
    assert [message["content"] for message in third.messages] == [
        *("one", "Hello world", "two", "Hello world", "three")
    ]


def test_a_failure_is_reported_and_not_repeated(talk: Talk) -> None:
    """A turn that fails for good is shown with its text, and run once."""
    for message in ("BREAK it", "FALTER it"):
        assert CLOSED in talk.told[message].get("error", ""), talk.told
        assert len(turns_of(talk.turns, message)) == 1


def test_a_stop_ends_the_turn(talk: Talk, server: Gunicorn) -> None:
    """An abort has the turn cancelled."""
    (turn,) = turns_of(talk.turns, "WAIT for me")
    wait_observed(server, "cancelled", turn.session_id)
