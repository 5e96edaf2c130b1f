"""Agents of Pydantic AI, and the steps that their models make."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    Tool,
    ToolFailed,
)
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from tests.support import conversation
from tests.support.conversation import add, pick_colour
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Text,
    ToolCalls,
    Usage,
)
from wsgi_app.agents.pydantic_ai import PydanticAIAgent

API = pytest.mark.parametrize("model", [OpenAIChatModel, OpenAIResponsesModel], indirect=True)

END_STEP = (Text(("Done.",)), Usage(5, 2))

DELETE_STEP = (ToolCalls((Call("c1", "delete", '{"name": "a.txt"}'),)), Usage(3, 1))


def read_file(name: str) -> str:
    """Read a file.

    In Pydantic AI a tool's exception ends the run; this one is how a tool tells a failure.
    """
    try:
        return conversation.read_file(name)
    except FileNotFoundError as error:
        raise ToolFailed(f"{type(error).__name__}: {error}") from error


def delete(name: str) -> str:
    """Delete a file."""
    return f"{name} is gone"


class Point(BaseModel):
    """A structured output."""

    x: int


TOOLS = (add, read_file, pick_colour)

DELETE: Tool[Any] = Tool(delete, requires_approval=True)


def hosted(model: Model, *tools: Any, **settings: Any) -> PydanticAIAgent:
    """An agent with some tools."""
    return PydanticAIAgent(Agent(model, tools=list(tools), **settings))


def call_of(tool: str, arguments: str = "{}") -> tuple[AnyStep, ...]:
    """The step in which the model calls a tool."""
    return (ToolCalls((Call("c1", tool, arguments),)), Usage(3, 1))


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' types in their order."""
    return [event["type"] for event in events]
