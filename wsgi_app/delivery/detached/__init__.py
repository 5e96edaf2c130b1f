"""Streams that continue without a thread: taken over from gunicorn, and written by the io loop."""
