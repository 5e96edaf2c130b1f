"""The real clients, as they are, against a running host."""
