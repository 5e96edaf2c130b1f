"""Turns, and the workers that run them."""
