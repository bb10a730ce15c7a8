"""What outlives a screen: the training, the run that is watched, what is remembered."""
