"""Hosts in a site: settings, guards, the log, metrics."""
