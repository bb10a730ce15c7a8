"""Curves of finished and live runs for other programs; the trainer knows none of them."""
