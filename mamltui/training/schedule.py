"""The learning rate of the outer loop, as a function of the meta-iteration alone."""

from __future__ import annotations

import math

from mamltui.profiles import MetaSection


def learning_rate(meta: MetaSection, iteration: int) -> float:
    """The rate of meta-iteration ``iteration``, 0 to ``meta.iterations`` - 1.

    It rises in equal steps over the first ``meta.warmup`` iterations, reaches
    ``meta.learning_rate`` in the one after them, and ``meta.final_learning_rate`` in the last,
    unless the schedule is constant. ``cosine`` is half a wave (Loshchilov and Hutter 2017,
    equation 5, without restarts; CA of MAML++, there by epochs of 500 iterations).
    """
    if iteration < meta.warmup:
        return meta.learning_rate * (iteration + 1) / (meta.warmup + 1)
    if meta.schedule == "constant":
        return meta.learning_rate
    length = max(1, meta.iterations - 1 - meta.warmup)
    gone = min(1.0, (iteration - meta.warmup) / length)
    left = (1 + math.cos(math.pi * gone)) / 2 if meta.schedule == "cosine" else 1 - gone
    return meta.final_learning_rate + (meta.learning_rate - meta.final_learning_rate) * left


def is_constant(meta: MetaSection) -> bool:
    """Whether all meta-iterations have the same rate."""
    return meta.schedule == "constant" and meta.warmup == 0
