"""What several wires have in common."""
