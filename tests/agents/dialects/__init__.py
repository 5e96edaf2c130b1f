"""What providers answer: whole answers as files, and rows of single faults."""
