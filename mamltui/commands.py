"""Command lines that repeat, in a shell, what the app or an earlier command did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CommonOptions:
    """Where a command finds runs and data, and computes: None and ``auto`` are not written."""

    runs: Path | None = None
    """The folder that holds the run folders."""
    data: Path | None = None
    """A folder to look in for Omniglot or CIFAR-100 first."""
    device: str = "auto"

    def options(self) -> list[str]:
        """The options, which all commands call the same."""
        return [
            *([] if self.device == "auto" else ["--device", self.device]),
            *([] if self.runs is None else ["--runs-dir", str(self.runs)]),
            *([] if self.data is None else ["--data-dir", str(self.data)]),
        ]


def run_command(
    profile: str,
    common: CommonOptions,
    *,
    overrides: Sequence[str] = (),
    more: Sequence[str] = (),
    resume: str | None = None,
) -> str:
    """``mamltui run``: train from ``profile``, or go on with the run ``resume``."""
    words = ["mamltui", "run", profile, "--headless"]
    for override in overrides:
        words += ["--set", override]
    words += common.options()
    words += more
    words += [] if resume is None else ["--resume", resume]
    return shlex.join(words)


def eval_command(runs: Sequence[str], common: CommonOptions, *, more: Sequence[str] = ()) -> str:
    """``mamltui eval``: score ``runs``."""
    return shlex.join(["mamltui", "eval", *runs, *more, *common.options()])
