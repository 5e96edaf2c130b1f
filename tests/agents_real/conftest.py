"""The scripted provider, as for the agents' other tests."""

from tests.agents.conftest import upstream

__all__ = ["upstream"]
