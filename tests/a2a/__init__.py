"""The public suite of A2A, and clients of A2A in environments of their own."""
