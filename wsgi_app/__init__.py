"""Streams AI agents from the Flask app you already run on gunicorn gthread."""

from typing import TYPE_CHECKING, Any

from wsgi_app.agents import OpenAIAgent
from wsgi_app.auth import Principal
from wsgi_app.engine import Turn
from wsgi_app.errors import AgentHostError, ConfigError, TurnCancelled, TurnError, UpstreamError
from wsgi_app.events import Status, Thinking, Token, ToolCall, ToolResult, Usage
from wsgi_app.host import AgentHost

if TYPE_CHECKING:
    from flask import Flask

    app: Flask

__all__ = [
    "AgentHost",
    "AgentHostError",
    "ConfigError",
    "OpenAIAgent",
    "Principal",
    "Status",
    "Thinking",
    "Token",
    "ToolCall",
    "ToolResult",
    "Turn",
    "TurnCancelled",
    "TurnError",
    "UpstreamError",
    "Usage",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Build ``wsgi_app:app`` on first access, so that importing the package builds nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wsgi_app.standalone import create_app  # noqa: PLC0415 - it would be built by an import

    globals()["app"] = create_app()
    return globals()["app"]
