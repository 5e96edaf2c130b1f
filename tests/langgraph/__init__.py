"""LangGraph's own clients, with the host as their server."""
