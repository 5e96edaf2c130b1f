"""The host's own routes."""
