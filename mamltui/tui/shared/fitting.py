"""Text cut to a width in cells: of a terminal, where some characters take two."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

from mamltui.text import visible

ELLIPSIS = "…"

_OF_A_FOLDER = re.compile(r"(.+)-\d{8}-\d{6}-([0-9a-f]{4})")
"""The profile and the four characters that tell runs of one second apart."""
LEAST = 9
"""Cells that hold something of the profile, too."""
SPARK = 10
"""Cells of a sparkline in a list."""


def fitted(text: str, width: int) -> str:
    """``text``, shown literally in exactly ``width`` cells: padded, or cut at its end."""
    text = visible(text)
    if cell_len(text) > width > 0:
        return set_cell_size(text, width - 1) + ELLIPSIS
    return set_cell_size(text, max(0, width))


def fitted_name(name: str, width: int) -> str:
    """As :func:`fitted`, but cut in its middle: names of runs end in what sets them apart."""
    return set_cell_size(shortened_name(name, width), max(0, width))


def shortened_name(name: str, width: int) -> str:
    """``name``, shown literally in at most ``width`` cells, its middle left out if need be.

    Of the name that a run gets with its folder the time goes first.
    """
    name = visible(name)
    if cell_len(name) <= width:
        return name
    if width < 1:
        return ""
    given = _OF_A_FOLDER.fullmatch(name)
    if given and width >= LEAST:
        name, tail = given[1], given[2]
        if cell_len(name) + 1 + cell_len(tail) <= width:
            return name + ELLIPSIS + tail
    else:
        tail = name
        while tail and cell_len(tail) > (width - 1) // 2:
            tail = tail[1:]
    return set_cell_size(name, width - 1 - cell_len(tail)).rstrip() + ELLIPSIS + tail
