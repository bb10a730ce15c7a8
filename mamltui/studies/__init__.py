"""Studies: a set of experiments as one file, a queue of ordinary run folders, and a report."""
