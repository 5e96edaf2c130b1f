"""The sites of examples/, run."""
