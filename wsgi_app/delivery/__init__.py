"""Delivers a turn's events to one reader."""
