"""The terminal app: eight screens over the run folders and one training in a worker thread."""
