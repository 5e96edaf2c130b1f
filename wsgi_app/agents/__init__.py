"""What answers: the built-in agents, each loaded on first use (PEP 562) for what it needs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgi_app.agents.approvals import approve
    from wsgi_app.agents.demo import demo_agent
    from wsgi_app.agents.openai import OpenAIAgent
    from wsgi_app.agents.tools import Tool

__all__ = ["OpenAIAgent", "Tool", "approve", "demo_agent"]

_MODULES = {
    "OpenAIAgent": "openai",
    "Tool": "tools",
    "approve": "approvals",
    "demo_agent": "demo",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"wsgi_app.agents.{_MODULES[name]}"), name)
