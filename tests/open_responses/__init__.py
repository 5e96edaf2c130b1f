"""The public suite of Open Responses, run against the host."""
