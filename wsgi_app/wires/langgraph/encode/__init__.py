"""What LangGraph's clients get."""
