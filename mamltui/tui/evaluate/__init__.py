"""Evaluate: runs scored after each number of inner steps."""
