"""The Model Context Protocol: the agent as a server with one tool."""
