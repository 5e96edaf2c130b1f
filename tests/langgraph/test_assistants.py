"""The hosted agent as LangGraph's read-only assistant, by langgraph-sdk for Python."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import APIStatusError, BadRequestError


def test_the_agent_is_found(client: SyncLangGraphClient) -> None:
    """By a search for its name, graph or metadata, and by no other's; it is counted the same."""
    (one,) = client.assistants.search()
    assert one == client.assistants.get(one["assistant_id"])
    assert client.assistants.search(graph_id="support") == [client.assistants.get("support")]
    assert client.assistants.search(name="AGENT", metadata={"created_by": "system"}) == [one]
    wanted: Any
    for wanted in ({"metadata": {"created_by": "me"}}, {"name": "nobody"}):
        assert client.assistants.search(**wanted) == []
        assert client.assistants.count(**wanted) == 0
    assert client.assistants.search(offset=1) == []
    assert client.assistants.count() == 1
    selected: Any = client.assistants.search(select=["name"])
    assert selected == [{"name": one["name"]}]


def test_the_agent_is_described(client: SyncLangGraphClient) -> None:
    """A graph of one node, a state of messages, and one version."""
    graph: Any = client.assistants.get_graph("agent")
    assert [node["id"] for node in graph["nodes"]] == ["__start__", "agent", "__end__"]
    schemas: Any = client.assistants.get_schemas("agent")
    assert set(schemas["input_schema"]["properties"]) == {"messages"}
    assert client.assistants.get_versions("agent") == [client.assistants.get("agent")]


def test_clients_that_need_an_assistant_get_the_agent(client: SyncLangGraphClient) -> None:
    """Who would take one that is there gets it; to make another one is refused by its code."""
    made = client.assistants.create("agent", if_exists="do_nothing", metadata={"a": 1})
    assert made == client.assistants.get("agent")
    for more in ({}, {"if_exists": "raise"}):
        wanted: Any = more
        with pytest.raises(BadRequestError) as caught:
            client.assistants.create("agent", **wanted)
        body: Any = caught.value.body
        assert (body["code"], body["details"]["field"]) == ("invalid_request", "if_exists")


def test_no_client_changes_the_agent(client: SyncLangGraphClient) -> None:
    """Changes, deletions and versions are refused by a code that says so; the agent stays."""
    for call in (
        lambda: client.assistants.update("agent", name="mine"),
        lambda: client.assistants.delete("agent"),
        lambda: client.assistants.set_latest("agent", 1),
    ):
        with pytest.raises(APIStatusError) as caught:
            call()
        body: Any = caught.value.body
        assert (caught.value.status_code, body["code"]) == (405, "method_not_allowed")
        assert "no client changes it" in body["message"]
    assert client.assistants.get("agent")["version"] == 1
