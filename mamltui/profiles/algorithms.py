"""Which keys of a profile do not apply to which algorithm, and what was trained in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mamltui.profiles.model import Values

_NO_QUERY_LOSS = "its update is the way that the inner loop went, and no query loss enters"
_ONLY_THE_END = "its gradient knows the end of the inner loop alone, not the steps"
_NO_STEPS = "it has no inner steps"

_NOT_APPLICABLE: dict[str, dict[str, str]] = {
    "maml": {},
    "fomaml": {"plus.derivative_annealing": "it is of first order throughout"},
    "anil": {},
    "boil": {},
    "meta-sgd": {"plus.learned_rates": "it has a learned step size for every parameter already"},
    "alfa": {"plus.learned_rates": "it generates a step size for every parameter already"},
    "meta-curvature": {"plus.learned_rates": "it has learned matrices for every parameter already"},
    "proto-maml": {},
    "reptile": {
        "plus.multi_step_loss": _NO_QUERY_LOSS,
        "plus.derivative_annealing": "it is of first order throughout",
        "plus.per_step_norm": "its inner loop changes scale and shift itself",
        "plus.per_step_statistics": "its inner loop changes scale and shift itself",
        "plus.learned_rates": _NO_QUERY_LOSS,
        "meta.label_smoothing": _NO_QUERY_LOSS,
    },
    "imaml": {
        "plus.multi_step_loss": _ONLY_THE_END,
        "plus.derivative_annealing": _ONLY_THE_END,
        "plus.per_step_norm": _ONLY_THE_END,
        "plus.per_step_statistics": _ONLY_THE_END,
        "plus.learned_rates": _ONLY_THE_END,
    },
    "protonet": {
        "plus.multi_step_loss": _NO_STEPS,
        "plus.derivative_annealing": _NO_STEPS,
        "plus.per_step_norm": _NO_STEPS,
        "plus.per_step_statistics": _NO_STEPS,
        "plus.learned_rates": _NO_STEPS,
    },
}


def inapplicable(profile: Values) -> Iterator[tuple[str, str]]:
    """Keys that are switched on and do not apply to the profile's algorithm, and why not."""
    for key, reason in _NOT_APPLICABLE[profile.algorithm].items():
        section, name = key.split(".")
        if getattr(getattr(profile, section), name):
            yield key, reason


def learns_rates(profile: Values) -> bool:
    """Whether the sizes of the inner steps are learned, and ``inner.alpha`` is where they began."""
    return profile.algorithm in ("meta-sgd", "alfa") or profile.plus.learned_rates


def method_of(profile: Values) -> str:
    """The algorithm with the parts of MAML++ that are on, e.g. ``maml + MSL + LSLR``."""
    plus = profile.plus
    parts = {
        "MSL": plus.multi_step_loss,
        "DA": plus.derivative_annealing,
        "BNWB": plus.per_step_norm,
        "BNRS": plus.per_step_statistics,
        "LSLR": plus.learned_rates,
        "CA": profile.meta.schedule == "cosine",
    }
    return " + ".join([profile.algorithm, *(name for name, is_on in parts.items() if is_on)])
