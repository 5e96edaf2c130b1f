"""LangGraph's thread protocol."""
