"""What the tests run on: real servers, strict clients, scripted agents."""
