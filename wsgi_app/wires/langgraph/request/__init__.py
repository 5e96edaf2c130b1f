"""What LangGraph's clients send."""
