"""The formats on the network: a folder each, with what it reads, what it sends, and its routes."""
