"""The Agent2Agent protocol: the agent for other agents."""
