"""Requests of the agent's own client go straight to the provider, unless somebody watches them."""

from __future__ import annotations

import functools
import gc
from typing import Any

import pytest
from openai.resources.chat.completions import AsyncCompletions

from tests.agents.bench import AgentBench, Host
from tests.support.upstream import Upstream
from tests.support.upstream_script import Cut, Refuse, Text
from wsgi_app import OpenAIAgent, Turn

#: A header that the package itself writes for each try.
OF_THE_PACKAGE = "x-stainless-retry-count"


@pytest.fixture
def bench(host: Host, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> AgentBench:
    """An agent that finds the scripted provider by its environment, as sites have it."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    return host(OpenAIAgent("m"))


def _answer_with_an_agent_of_its_own(turn: Turn) -> Any:
    return OpenAIAgent("m")(turn)


def tries(upstream: Upstream) -> list[str | None]:
    """Which of the requests the package has sent itself: its number of each."""
    return [request.headers.get(OF_THE_PACKAGE) for request in upstream.requests]


def test_a_request_goes_straight(bench: AgentBench, upstream: Upstream) -> None:
    """A request has the package's headers, and not what it adds on its own way."""
    assert bench.talk((Text(("hello",)),))[-1]["reply"] == "hello"
    [request] = upstream.requests
    assert OF_THE_PACKAGE not in request.headers
    assert request.headers["authorization"] == "Bearer sk-upstream-test-key"
    assert request.headers["x-stainless-lang"] == "python"


def test_connections_are_kept(bench: AgentBench, upstream: Upstream) -> None:
    """Turns one after the other share a connection."""
    for _ in range(3):
        bench.talk((Text(("hello",)),))
    assert len({id(request.connection) for request in upstream.requests}) == 1


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_counts_once(bench: AgentBench, upstream: Upstream, status: int) -> None:
    """What the package would not repeat is sent once, and its status is told."""
    end = bench.talk((Refuse(status),))[-1]
    assert (end["code"], end["details"]["status"]) == ("upstream_error", status)
    assert tries(upstream) == [None]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_refusal_is_repeated(bench: AgentBench, upstream: Upstream, status: int) -> None:
    """What the package repeats, it repeats itself, as often as it would have."""
    refusal = (Refuse(status, retry_after_seconds=0.01),)
    assert bench.talk(refusal, refusal, (Text(("late",)),))[-1]["reply"] == "late"
    assert tries(upstream) == [None, "1", "2"]
    upstream.requests.clear()
    assert bench.talk(refusal, refusal, refusal)[-1]["details"]["status"] == status
    assert tries(upstream) == [None, "1", "2"]


def test_a_lost_connection_is_tried_again(bench: AgentBench, upstream: Upstream) -> None:
    """A connection that breaks before the answer is the package's to try again."""
    cut = (Cut(),)
    assert bench.talk(cut, (Text(("late",)),))[-1]["reply"] == "late"
    assert len(upstream.requests) == 2


def test_connections_go_with_their_agent(
    bench: AgentBench, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent that was made for one turn leaves no connection behind, and no fault in the log."""
    run = bench.turns.start(_answer_with_an_agent_of_its_own, "hello")
    bench.finish(run)
    [connection] = {
        id(request.connection): request.connection for request in upstream.requests
    }.values()
    del run
    gc.collect()
    connection.wait_closed()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_who_watches_the_package_sees_all(
    bench: AgentBench, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that has replaced a method of the package's gets each request, from then on."""
    original: Any = AsyncCompletions.create
    seen: list[str] = []

    @functools.wraps(original)
    async def watched(self: AsyncCompletions, *args: Any, **options: Any) -> Any:
        seen.append(options["extra_body"]["model"])
        return await original(self, *args, **options)

    bench.talk((Text(("hello",)),))
    monkeypatch.setattr(AsyncCompletions, "create", watched)
    bench.talk((Text(("hello",)),))
    assert seen == ["m"]
    assert tries(upstream) == [None, "0"]


def test_a_proxy_is_asked(host: Host, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names a proxy, the package decides what goes through it."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    bench = host(OpenAIAgent("m"))
    assert bench.talk((Text(("hello",)),))[-1]["reply"] == "hello"
    assert tries(upstream) == ["0"]
