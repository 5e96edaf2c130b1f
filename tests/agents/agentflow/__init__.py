"""AgentFlow, which needs Python 3.12."""
