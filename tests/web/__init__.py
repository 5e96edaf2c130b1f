"""The routes, and what they refuse."""
