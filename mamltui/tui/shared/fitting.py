"""Text cut to a width in cells: of a terminal, where some characters take two."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from mamltui.text import visible

ELLIPSIS = "…"
TAIL = 5
"""Characters at the end of a run's name, such as ``-3f9a``."""


def fitted(text: str, width: int) -> str:
    """``text``, shown literally in exactly ``width`` cells: padded, or cut at its end."""
    text = visible(text)
    if cell_len(text) > width > 0:
        return set_cell_size(text, width - 1) + ELLIPSIS
    return set_cell_size(text, max(0, width))


def fitted_name(name: str, width: int) -> str:
    """As :func:`fitted`, but cut before the end: names of runs end in what sets them apart."""
    name = visible(name)
    if cell_len(name) <= width or width < 8:
        return fitted(name, width)
    tail = name[-TAIL:]
    while cell_len(tail) > width // 2:
        tail = tail[1:]
    return set_cell_size(name, width - 1 - cell_len(tail)) + ELLIPSIS + tail
