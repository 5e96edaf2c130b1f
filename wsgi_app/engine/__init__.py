"""A turn's life: from its worker thread to its terminal event."""

from wsgi_app.engine.call import current_call
from wsgi_app.engine.session_name import SessionName
from wsgi_app.engine.turn import Agent, Turn, current_turn

__all__ = ["Agent", "SessionName", "Turn", "current_call", "current_turn"]
