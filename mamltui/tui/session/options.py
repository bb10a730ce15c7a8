"""What the command line of the app asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mamltui.commands import CommonOptions


@dataclass(frozen=True)
class Options:
    """Of ``mamltui``, ``mamltui run``, ``mamltui attach`` and ``mamltui draw``."""

    profile: str = ""
    """A file, or the name of a packaged profile, to be shown first."""
    overrides: tuple[str, ...] = ()
    run_now: bool = False
    """Train ``profile`` at once."""
    resume: str | None = None
    """Of ``run_now``: a run to go on with, or ``auto``."""
    title: str = ""
    """Of ``run_now``: what a new run is called."""
    attach: str = ""
    """A run to be shown first."""
    screen: str = "train"
    """Which screen shows it."""
    profiles_dir: Path | None = None
    """A folder of profiles to list besides the packaged ones and those in ``profiles``."""
    read_only: bool = False
    """Nothing is trained, steered or written."""
    common: CommonOptions = field(default_factory=CommonOptions)

    @property
    def runs(self) -> Path:
        """The folder of the run folders."""
        from mamltui.runs import runs_root  # needs pydantic, which the first paint does without

        return runs_root(self.common.runs)
