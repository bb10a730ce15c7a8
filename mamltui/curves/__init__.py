"""Curves that grow while a training runs, and what a display needs of them."""

from mamltui.curves.series import Envelope, Series, envelope

__all__ = ["Envelope", "Series", "envelope"]
