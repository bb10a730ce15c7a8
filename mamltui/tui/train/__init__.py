"""Train: the run that is watched."""
