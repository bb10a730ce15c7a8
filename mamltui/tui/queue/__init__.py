"""The trainings that wait for each other."""
