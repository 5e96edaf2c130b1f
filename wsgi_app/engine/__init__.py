"""A turn's life: from its worker thread to its terminal event."""

from wsgi_app.engine.turn import Agent, Turn, current_turn
from wsgi_app.engine.turn.call import current_call
from wsgi_app.engine.turn.session_name import SessionName
from wsgi_app.engine.turn.steering import steerable

__all__ = ["Agent", "SessionName", "Turn", "current_call", "current_turn", "steerable"]
