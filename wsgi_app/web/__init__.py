"""The HTTP surface: parse, call, respond."""
