"""Step counts as text: ``"0..10,15"`` names the inner steps 0 to 10 and 15."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_STEPS = 1000
"""No one adapts longer, and memory of the meta-gradient grows with the steps."""

ALLOWED_STEPS = (
    f'a text such as "0..10" or "0..10,15", or a list of integers from 0 to {MOST_STEPS:,}'
)


def parse_steps(value: object) -> tuple[int, ...]:
    """Sorted, distinct step counts from ``"0..10"``, ``"0..10,15"`` or a sequence of integers.

    Raises:
        ValueError: no steps, a negative or too large one, or not step counts at all; the message is
            one sentence for the user.
    """
    if isinstance(value, str):
        steps = [step for part in value.split(",") for step in _part(part.strip())]
    elif isinstance(value, Sequence):
        for step in value:
            if type(step) is not int:
                raise ValueError("a list of steps holds integers only")
            _check(step)
        steps = list(value)
    else:
        raise ValueError("this is neither a text nor a list")
    if not steps:
        raise ValueError("there is no step in it")
    return tuple(sorted(set(steps)))


def steps_text(steps: Sequence[int]) -> str:
    """The short text that :func:`parse_steps` reads back: ``(0, 1, 2, 5)`` gives ``"0..2,5"``."""
    runs: list[list[int]] = []
    for step in sorted(set(steps)):
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    parts = []
    for run in runs:
        parts += [f"{run[0]}..{run[-1]}"] if len(run) > 2 else [str(step) for step in run]
    return ",".join(parts)


def _part(text: str) -> range:
    """One comma-separated part: a number or a range with both ends included."""
    match = re.fullmatch(r"([+-]?[0-9]{1,9})(?:\s*\.\.\s*([+-]?[0-9]{1,9}))?", text)
    if match is None:
        raise ValueError(f"{text!r} is neither a number nor a range" if text else "a part is empty")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    _check(first)
    _check(last)
    if last < first:
        raise ValueError(f"the range {text} runs backwards")
    return range(first, last + 1)


def _check(step: int) -> None:
    if step < 0:
        raise ValueError(f"{step} steps cannot be taken")
    if step > MOST_STEPS:
        raise ValueError(f"more than {MOST_STEPS:,} steps are too many")
