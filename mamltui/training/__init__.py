"""Training: from a plan to a run folder, a stream of events and a result, steered by a handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mamltui.training.control import Control, Snapshot

if TYPE_CHECKING:
    from mamltui.training.device import resolve_device
    from mamltui.training.experiment import Outcome, Reader, run_experiment
    from mamltui.training.plan import Plan, make_plan
    from mamltui.training.trainer import Trainer
else:
    _MODULES = {
        "resolve_device": "device",
        "Outcome": "experiment",
        "Reader": "experiment",
        "run_experiment": "experiment",
        "Plan": "plan",
        "make_plan": "plan",
        "Trainer": "trainer",
    }

    def __getattr__(name: str) -> Any:
        # They need torch, which takes seconds to import; a control does not.
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = [
    "Control",
    "Outcome",
    "Plan",
    "Reader",
    "Snapshot",
    "Trainer",
    "make_plan",
    "resolve_device",
    "run_experiment",
]
