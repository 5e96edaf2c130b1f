"""Who wants what is not theirs: each test is an attack, or a mistake that would let one in."""
