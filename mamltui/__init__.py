"""Model-Agnostic Meta-Learning (Finn, Abbeel and Levine 2017), trained in the terminal.

For scripts and notebooks: ``load_profile``, ``train``, ``evaluate`` and ``Run``, of
:mod:`mamltui.api`. It is imported when one of them is asked for, so that the package itself stays
quick to import; ``__init__.pyi`` has their types.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "AdaptedRun",
    "MamltuiError",
    "Predictions",
    "Run",
    "__version__",
    "evaluate",
    "load_profile",
    "table",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("mamltui.api"), name)
