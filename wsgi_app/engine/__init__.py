"""A turn's life: from its worker thread to its terminal event."""

from wsgi_app.engine.turn import Agent, Turn

__all__ = ["Agent", "Turn"]
