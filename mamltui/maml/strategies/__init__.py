"""Ways to compute the same exact meta-gradient, one a file; the engine chooses."""
