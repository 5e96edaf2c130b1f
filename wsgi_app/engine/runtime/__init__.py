"""Threads and event loops: what knows nothing of turns."""
