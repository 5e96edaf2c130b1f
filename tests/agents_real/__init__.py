"""Agents with what teams really have: public servers, frameworks, databases."""
