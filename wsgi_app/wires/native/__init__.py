"""The host's own wire: events under their ids, sessions, and the WebSocket."""
