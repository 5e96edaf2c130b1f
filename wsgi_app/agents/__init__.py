"""What answers: the built-in agents."""

from wsgi_app.agents.demo import demo_agent
from wsgi_app.agents.openai import OpenAIAgent

__all__ = ["OpenAIAgent", "demo_agent"]
