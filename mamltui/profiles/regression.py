"""What a profile of a regression (``data.set = "sinusoid"``) cannot say: all that is of images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mamltui.profiles.keys import Key, keys_of

if TYPE_CHECKING:
    from mamltui.profiles.model import Values

_NO_CLASSES = "a wave has no classes"
_NO_IMAGES = "waves are numbers, no images"
_PLAIN_LAYERS = "the network of waves has fully connected layers with ReLU, and nothing else"

OF_IMAGES = {
    "data.path": _NO_IMAGES,
    "data.split": _NO_CLASSES,
    "data.rotations": _NO_IMAGES,
    "data.resize": _NO_IMAGES,
    "data.fit": _NO_IMAGES,
    "data.unreadable": _NO_IMAGES,
    "data.image_size": _NO_IMAGES,
    **{
        f"augment.{name}": _NO_IMAGES
        for name in ("angle", "shift", "scale", "shear", "elastic", "smoothness")
    },
    "task.way": _NO_CLASSES,
    "task.test_way": _NO_CLASSES,
    "network.pooling": _PLAIN_LAYERS,
    "network.normalisation": _PLAIN_LAYERS,
    "network.head": _PLAIN_LAYERS,
    "network.module": "the network of waves is the paper's",
    "network.arguments": "the network of waves is the paper's",
    "network.weights": "the network of waves is the paper's",
    "plus.per_step_norm": _PLAIN_LAYERS,
    "plus.per_step_statistics": _PLAIN_LAYERS,
    "meta.label_smoothing": "its targets are no labels",
}
"""Keys that do not apply to waves, and why not; ``profile.toml`` of such a run leaves them out."""

ALGORITHMS = {
    "protonet": "its head is made of class means",
    "proto-maml": "its head is made of class means",
}
"""Algorithms that need classes, and what for."""


MEANINGS = {
    "data.set": ("Sine waves, which are fitted.", "-"),
    "task.shot": ("Points that a wave is fitted from.", "points"),
    "task.query": (
        "Points at which the fit is measured; left out: as many as shot.",
        "points",
    ),
    "task.test_shot": ("Points fitted from in validation and test; 0: as many as shot.", "points"),
    "task.test_query": (
        "Points measured at in validation and test; 0: as many as query.",
        "points",
    ),
    "network.filters": ("Units of each hidden layer.", "units"),
    "network.layers": ("Hidden layers.", "layers"),
    "meta.divergence_loss": (
        "Query loss at which the run counts as diverged; 1 is answering 0 everywhere.",
        "4.25",
    ),
    "validation.criterion": ("What decides which checkpoint is the best: the least error.", "-"),
}
"""Of keys that say something else of waves, what they mean, and their unit."""


def keys_for(profile: Values) -> list[Key]:
    """The keys that apply to a profile, with what they mean there."""
    keys = keys_of(type(profile))
    if not profile.is_regression:
        return list(keys)
    applying = [key for key in keys if key.path not in OF_IMAGES]
    return [
        replace(key, description=meaning[0], unit=meaning[1])
        if (meaning := MEANINGS.get(key.path))
        else key
        for key in applying
    ]
