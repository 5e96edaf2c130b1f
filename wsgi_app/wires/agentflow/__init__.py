"""AgentFlow's names of the native events."""
