"""Episode: what a learner makes of single tasks."""
