"""The terminal app: seven screens over the run folders and one training in a worker thread."""
