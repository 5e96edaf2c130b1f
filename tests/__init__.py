"""The tests; they run on real servers."""
