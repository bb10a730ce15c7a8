"""Curves in braille, with axes, a cursor and zoom."""
