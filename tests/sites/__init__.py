"""Real applications, each installed as its own files pin it, with the host mounted in it."""
