"""What is published: built, and tried in empty environments."""
