"""Measures the host beside its peers, on one machine, in one run, taking turns."""
