"""What agents of LangChain's ``create_agent`` need of the host; loads ``langchain``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.tools import BaseTool

from wsgi_app.agents.langgraph import client_tools

__all__ = ["ClientTools"]


class ClientTools(AgentMiddleware[Any, Any]):
    """Middleware that offers an agent's model the tools of the turn's client beside its own.

    For `LangGraphAgent` with ``client_tools=True``. Outside of a turn it does nothing.
    """

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Offer them."""
        return handler(_with_tools(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Offer them."""
        return await handler(_with_tools(request))


def _with_tools(request: ModelRequest[Any]) -> ModelRequest[Any]:
    own = {tool.name for tool in request.tools if isinstance(tool, BaseTool)}
    offered = [tool for tool in client_tools() if tool["function"]["name"] not in own]
    return request.override(tools=[*request.tools, *offered]) if offered else request
