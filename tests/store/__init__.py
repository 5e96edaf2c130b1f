"""The contract suite of the stores."""
