"""Server-sent events: their frames, and what is merged into one."""
