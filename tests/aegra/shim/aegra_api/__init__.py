"""Stands for aegra's own package, of which its end-to-end tests read two settings."""
