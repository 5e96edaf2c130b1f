"""A turn's life: from its worker thread to its terminal event."""

from wsgi_app.engine.turn import Turn

__all__ = ["Turn"]
