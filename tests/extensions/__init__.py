"""Extensions and middleware that sites have, each in a small site around the host."""
