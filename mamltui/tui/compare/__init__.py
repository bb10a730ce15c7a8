"""Compare: several runs over each other."""
