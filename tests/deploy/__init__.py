"""What lies in deploy/, each file run or checked."""
