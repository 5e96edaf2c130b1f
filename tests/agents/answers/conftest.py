"""The built-in agent with each of its APIs, at a provider whose answers break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.answers.parts import Api
from tests.agents.bench import AgentBench
from tests.support.conversation import add
from tests.support.upstream import Upstream
from wsgi_app import OpenAIAgent
from wsgi_app.agents import openai_client


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The scripted provider; what breaks off is tried again soon."""
    monkeypatch.setattr(openai_client, "RETRY_SECONDS", 0.02)
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        yield upstream


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> Api:
    """Each of the APIs."""
    api: Api = request.param
    return api


@pytest.fixture
def bench(upstream: Upstream, api: Api) -> Iterator[AgentBench]:
    """The agent on the engine, its model at the scripted provider."""
    bench = AgentBench(OpenAIAgent("test-model", tools=[add], api=api), upstream)
    yield bench
    bench.close()
