"""Streams AI agents from the Flask app you already run on gunicorn gthread."""

__version__ = "0.1.0"
