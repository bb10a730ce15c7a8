"""The learning: torch only, no files, no terminal."""
