"""Bytes and shapes on the network; pure functions of requests and events."""
