"""Home: the profiles and the runs."""
