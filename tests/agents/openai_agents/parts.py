"""Agents of the SDK, and the steps that their models make."""

from __future__ import annotations

from typing import Any

import pytest
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    function_tool,
)

from tests.support.conversation import add, pick_colour, read_file
from tests.support.upstream_script import (
    Call,
    Text,
    ToolCalls,
    Usage,
)

API = pytest.mark.parametrize(
    "model", [OpenAIChatCompletionsModel, OpenAIResponsesModel], indirect=True
)

TOOLS = [function_tool(tool) for tool in (add, read_file, pick_colour)]

ADD_STEP = (ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),)), Usage(3, 1))

END_STEP = (Text(("Done.",)), Usage(5, 2))


def delete(name: str) -> str:
    """Delete a file."""
    return f"{name} is gone"


DELETE_STEP = (ToolCalls((Call("c1", "delete", '{"name": "a.txt"}'),)), Usage(3, 1))

DELETE = function_tool(delete, needs_approval=True)


def sdk_agent(model: Model, *tools: Any, **settings: Any) -> Agent[Any]:
    """An agent with some tools."""
    return Agent(name="Main", model=model, tools=list(tools), **settings)


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' types in their order."""
    return [event["type"] for event in events]
