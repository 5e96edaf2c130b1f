"""Streams and their readers, whoever drives them."""
