"""Other servers around the host."""
