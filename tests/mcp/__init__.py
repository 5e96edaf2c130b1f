"""The public suite of MCP, and clients of MCP in environments of their own."""
