"""Streams AI agents from the Flask app you already run on gunicorn gthread.

Importing the package loads nothing and builds nothing: names are loaded on first use (PEP 562), so
that gunicorn's arbiter can import the hooks alone, and ``wsgi_app:app`` is built where it is asked
for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

    from wsgi_app.agents import OpenAIAgent as OpenAIAgent
    from wsgi_app.agents import Tool as Tool
    from wsgi_app.agents import approve as approve
    from wsgi_app.auth import Principal as Principal
    from wsgi_app.engine import Agent as Agent
    from wsgi_app.engine import SessionName as SessionName
    from wsgi_app.engine import Turn as Turn
    from wsgi_app.engine import current_call as current_call
    from wsgi_app.engine import current_turn as current_turn
    from wsgi_app.engine import steerable as steerable
    from wsgi_app.errors import AgentHostError as AgentHostError
    from wsgi_app.errors import ConfigError as ConfigError
    from wsgi_app.errors import TurnCancelled as TurnCancelled
    from wsgi_app.errors import TurnError as TurnError
    from wsgi_app.errors import UpstreamError as UpstreamError
    from wsgi_app.events import Event as Event
    from wsgi_app.events import Status as Status
    from wsgi_app.events import Thinking as Thinking
    from wsgi_app.events import Token as Token
    from wsgi_app.events import ToolCall as ToolCall
    from wsgi_app.events import ToolResult as ToolResult
    from wsgi_app.events import Usage as Usage
    from wsgi_app.host import AgentHost as AgentHost
    from wsgi_app.web.current import is_agent_request as is_agent_request

    app: Flask

_MODULES = {
    "agents": ("OpenAIAgent", "Tool", "approve"),
    "auth": ("Principal",),
    "engine": ("Agent", "SessionName", "Turn", "current_call", "current_turn", "steerable"),
    "errors": ("AgentHostError", "ConfigError", "TurnCancelled", "TurnError", "UpstreamError"),
    "events": ("Event", "Status", "Thinking", "Token", "ToolCall", "ToolResult", "Usage"),
    "host": ("AgentHost",),
    "web.current": ("is_agent_request",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Agent",
    "AgentHost",
    "AgentHostError",
    "ConfigError",
    "Event",
    "OpenAIAgent",
    "Principal",
    "SessionName",
    "Status",
    "Thinking",
    "Token",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Turn",
    "TurnCancelled",
    "TurnError",
    "UpstreamError",
    "Usage",
    "approve",
    "current_call",
    "current_turn",
    "is_agent_request",
    "steerable",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "app":
        value = import_module("wsgi_app.standalone").create_app()
    elif name in _MODULE_OF:
        value = getattr(import_module(f"wsgi_app.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
