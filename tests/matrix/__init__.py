"""The suite's core in environments of other versions: see environments.toml and `__main__`."""
