"""A model of the SDK at the scripted provider, and a host for its agents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agents import (
    Model,
    OpenAIChatCompletionsModel,
)
from openai import AsyncOpenAI

from tests.agents.bench import Host, hosting
from tests.support.upstream import Upstream


@pytest.fixture
def client(upstream: Upstream) -> AsyncOpenAI:
    """A client as a team would make it, on no loop yet."""
    return AsyncOpenAI(base_url=upstream.url, api_key="test-key", max_retries=0)


@pytest.fixture
def model(request: pytest.FixtureRequest, client: AsyncOpenAI) -> Model:
    """The model behind the chat API, or behind the one that a test names."""
    made: Model = getattr(request, "param", OpenAIChatCompletionsModel)("test-model", client)
    return made


@pytest.fixture
def host(upstream: Upstream, client: AsyncOpenAI) -> Iterator[Host]:
    """Puts one agent on the engine."""
    with hosting(upstream, client) as start:
        yield start
