"""A model of Pydantic AI at the scripted provider, and a host for its agents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.agents.bench import Host, hosting
from tests.support.upstream import Upstream


@pytest.fixture
def client(upstream: Upstream) -> AsyncOpenAI:
    """A client as a team would make it, on no loop yet."""
    return AsyncOpenAI(base_url=upstream.url, api_key="test-key", max_retries=0)


@pytest.fixture
def model(request: pytest.FixtureRequest, client: AsyncOpenAI) -> Model:
    """The model behind the chat API, or behind the one that a test names."""
    api = getattr(request, "param", OpenAIChatModel)
    made: Model = api("test-model", provider=OpenAIProvider(openai_client=client))
    return made


@pytest.fixture
def host(upstream: Upstream, client: AsyncOpenAI) -> Iterator[Host]:
    """Puts one agent on the engine."""
    with hosting(upstream, client) as start:
        yield start
