"""A run's validation scores, read quickly for a list of hundreds of runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

LARGEST = 2_000_000
"""Bytes that are read of the end of a file: some thousand validations."""
_VALIDATED = re.compile(
    rb'"event": ?"validated".*?"accuracy": ?([01](?:\.\d{1,20})?(?:e-\d{1,3})?)[,}]'
)

_ERROR = re.compile(
    rb'"event": ?"validated".*?"accuracy": ?null.*?'
    rb'"loss": ?(\d{1,39}(?:\.\d{1,20})?(?:e-\d{1,3})?)[,}]'
)


def validation_scores(events: Path) -> tuple[float, ...]:
    """Accuracies as fractions, or the errors of a regression, in the order of ``events.jsonl``.

    None where it cannot be read.

    Lines are searched, not parsed: what is not as mamltui writes it is passed over.
    """
    try:
        with events.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - LARGEST))
            content = file.read(min(size, LARGEST))
    except OSError:
        return ()
    accuracies = tuple(each for each in map(float, _VALIDATED.findall(content)) if each <= 1)
    return accuracies or tuple(map(float, _ERROR.findall(content)))
