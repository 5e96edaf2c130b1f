"""What answers: the built-in agents."""

from wsgi_app.agents.approvals import approve
from wsgi_app.agents.demo import demo_agent
from wsgi_app.agents.openai import OpenAIAgent
from wsgi_app.agents.tools import Tool

__all__ = ["OpenAIAgent", "Tool", "approve", "demo_agent"]
