"""Graphs of AgentFlow, and what their tests look at."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from agentflow.core.graph import StateGraph
from agentflow.core.graph.compiled_graph import CompiledGraph
from agentflow.prebuilt.agent import ReactAgent
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils.constants import END
from injectq import InjectQ

from tests.agents.bench import AgentBench, events_of
from tests.support.conversation import add, pick_colour, read_file
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    Call,
    Text,
    ToolCalls,
    Usage,
)
from tests.support.waiting import wait_for
from wsgi_app.engine.turn.run import TurnRun
from wsgi_app.store.base import SessionKey

Graph: TypeAlias = CompiledGraph[Any]

TOOLS = (add, read_file, pick_colour)

KEY = SessionKey("tenant", "s")

ADD_STEP = (ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)), Usage(3, 1))

COLOUR_STEP = (ToolCalls((Call("c1", "pick_colour", "{}"),)), Usage(1, 1))

END_STEP = (Text(("Done.",)), Usage(5, 2))

NOTHING = (Text(("",)),)


def react(upstream: Upstream, tools: Any = TOOLS, api: str = "chat", **options: Any) -> Graph:
    """A model with tools; ``options`` are its compilation's."""
    counting = {"stream_options": {"include_usage": True}} if api == "chat" else {}
    agent: ReactAgent[Any] = ReactAgent(
        "test-model",
        container=InjectQ(),
        provider="openai",
        base_url=upstream.url,
        api_style=api,
        tools=tools,
        retry_config=False,
        max_retries=0,
        **counting,
    )
    return agent.compile(**options)


def one_node(node: Any, **options: Any) -> Graph:
    """A graph of one function."""
    graph: StateGraph[Any] = StateGraph(container=InjectQ())
    graph.add_node("ONLY", node)
    graph.set_entry_point("ONLY")
    graph.add_edge("ONLY", END)
    return graph.compile(**options)


async def close_clients(graph: Graph) -> None:
    """Close the clients of a graph's models; AgentFlow has no call for it."""
    for node in graph._state_graph.nodes.values():  # noqa: SLF001 - see above
        client = getattr(node.func, "client", None)
        if client is not None:
            await client.close()


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' types in their order."""
    return [event["type"] for event in events]


def texts(events: list[dict[str, Any]], kind: str = "token") -> str:
    """The joined content of a turn's events of one type."""
    return "".join(event["content"] for event in events if event["type"] == kind)


def roles_of(upstream: Upstream) -> list[str]:
    """Whose messages the provider's last request held."""
    return [message["role"] for message in upstream.requests[-1].body["messages"]]


def answer_next(bench: AgentBench, run: TurnRun, number: int, answer: Any) -> None:
    """Wait for a turn's question of this number, counted from 1, and answer it."""
    wait_for(
        lambda: run.questions.waiting and types_of(events_of(run)).count("input_request") == number,
        f"question {number}",
    )
    question = events_of(run)[-1]
    bench.turns.store.post_input(run.fence.key, question["request_id"], json.dumps(answer).encode())


class Saver(InMemoryCheckpointer[Any]):  # type: ignore[misc] # its types are not read
    """A checkpointer of a team's own, which remembers."""

    async def aclean_thread(self, config: dict[str, Any]) -> bool:
        """Forget a thread, as AgentFlow's checkpointers with a database do."""
        for kept in (self._states, self._state_cache, self._messages):
            kept.pop(config["thread_id"], None)
        return bool(await super().aclean_thread(config))
