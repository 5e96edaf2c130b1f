"""Tests of `wsgi-agent-host doctor`: faults that were planted, and a set-up without any."""
