"""Log: what has happened, and the machine."""
