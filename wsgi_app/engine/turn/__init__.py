"""One turn: what its request asks for, what its agent sees, its events, its steps and its end."""

from wsgi_app.engine.turn.turn import Agent, Turn, current_turn

__all__ = ["Agent", "Turn", "current_turn"]
