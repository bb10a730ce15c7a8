"""The terminal app: six screens over the run folders and one training in a worker thread."""
