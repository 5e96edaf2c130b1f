"""Every kind of agent, against the scripted provider."""
