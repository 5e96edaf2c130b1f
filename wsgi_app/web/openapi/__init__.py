"""The description of all routes, made from the types that requests are read as."""
