"""Fixtures for agents at the scripted provider, and which tests this Python can run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.agents.bench import AgentBench, Host
from tests.support.postgres import Postgres, postgres
from tests.support.upstream import AUTHORITY, Upstream

collect_ignore: list[str] = []
if sys.version_info < (3, 11):
    # LangGraph's async side cannot do what they test, see there.
    collect_ignore += ["test_langgraph_nodes.py", "test_langgraph_subgraphs.py"]
    collect_ignore.append("test_memory_after_stops.py")
    # Pydantic AI itself needs 3.11.
    collect_ignore.append("pydantic_ai")
# AgentFlow needs Python 3.12: before, its tests run elsewhere.
collect_ignore.append("agentflow" if sys.version_info < (3, 12) else "test_agentflow_elsewhere.py")


@pytest.fixture(autouse=True)
def _one_authority(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have HTTP clients read one certificate instead of the system's, which takes each 25 ms.

    Nothing here is encrypted; slow tests may install packages.
    """
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """A server of Postgres, with nothing in it before the module."""
    with postgres() as server:
        yield server


@pytest.fixture
def host(upstream: Upstream) -> Iterator[Host]:
    """Puts an agent on the engine."""
    benches: list[AgentBench] = []

    def start(agent: Callable[..., Any], **settings: Any) -> AgentBench:
        benches.append(AgentBench(agent, upstream, **settings))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()
