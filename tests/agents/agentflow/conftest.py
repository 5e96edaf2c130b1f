"""Puts graphs of AgentFlow on the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.agents.agentflow.parts import Graph, close_clients
from tests.agents.bench import AgentBench, Host
from wsgi_app.agents.agentflow import AgentFlowAgent


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """AgentFlow reads the provider's key from the environment alone."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-upstream-test-key")


@pytest.fixture
def flow(host: Host) -> Iterator[Host]:
    """Hosts a graph, and closes its models' clients on the loop that they were used on."""
    hosted: list[tuple[AgentBench, Graph]] = []

    def start(graph: Graph, *, config: Any = None, **settings: Any) -> AgentBench:
        bench = host(AgentFlowAgent(graph, config=config), **settings)
        hosted.append((bench, graph))
        return bench

    yield start
    for bench, graph in hosted:
        bench.turns.run(lambda _, graph=graph: close_clients(graph))
