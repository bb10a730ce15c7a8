"""The curves of a run for W&B and trackio, which are extras: ``pip install 'mamltui[wandb]'``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from mamltui.errors import MamltuiError, UsageError
from mamltui.runs import RunFolder
from mamltui.text import visible

STEP = "iteration"


class WandbSink:
    """A run of W&B; ``WANDB_MODE=offline`` writes it below ``folder`` without a network.

    Each method raises ``MamltuiError`` where W&B refuses.

    Args:
        folder: where W&B keeps its files; None: where it does by itself.
    """

    def __init__(self, run: RunFolder, project: str, folder: Path | None) -> None:
        self._wandb = _imported("wandb")
        self._run, self._project, self._folder = run, project, folder
        self._stored: Any = None

    @property
    def destination(self) -> str:
        if self._stored.offline:
            return str(Path(self._stored.dir).parent)
        return str(self._stored.url)

    def begin(self) -> None:
        if self._stored is not None:  # what W&B has cannot be taken back: the run is told anew
            self._stored.finish()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        info = self._run.info()
        with _refusals("W&B", "Log in with `wandb login`, or set WANDB_MODE=offline."):
            self._stored = self._wandb.init(
                project=self._project,
                name=info.title or self._run.name,
                notes=info.notes,
                tags=list(info.tags),
                config=_config(self._run),
                dir=None if self._folder is None else str(self._folder),
                # The training may have been anywhere: of this process nothing is told.
                settings=self._wandb.Settings(
                    console="off", host="", quiet=True, x_disable_meta=True, x_disable_stats=True
                ),
            )
            self._stored.define_metric("*", step_metric=STEP)

    def write(self, iteration: int, elapsed: float, values: Mapping[str, float]) -> None:
        with _refusals("W&B"):
            self._stored.log({STEP: iteration, "elapsed": elapsed, **values})

    def flush(self) -> None:
        """W&B sends by itself."""

    def close(self, summary: Mapping[str, Any]) -> None:
        with _refusals("W&B"):
            self._stored.summary.update(dict(summary))
            self._stored.finish()


class TrackioSink:
    """A run of trackio, in its database on this machine (or where its variables say).

    Each method raises ``MamltuiError`` where trackio refuses.

    Args:
        folder: of the database; None: trackio's own.
    """

    def __init__(self, run: RunFolder, project: str, folder: Path | None) -> None:
        if folder is not None:
            os.environ["TRACKIO_DIR"] = str(folder.absolute())
        with redirect_stdout(sys.stderr):
            self._trackio = _imported("trackio")
        self._run, self._project = run, project
        self._stored: Any = None

    @property
    def destination(self) -> str:
        folder = import_module("trackio.utils").TRACKIO_DIR
        return f"project {self._project} in {folder}: trackio show --project {self._project}"

    def begin(self) -> None:
        info = self._run.info()
        with _refusals("trackio"):
            if self._stored is not None:
                self._trackio.finish()
            self._stored = self._trackio.init(
                project=self._project,
                name=info.title or self._run.name,
                config=_config(self._run),
                auto_log_cpu=False,
                auto_log_gpu=False,
                embed=False,
            )

    def write(self, iteration: int, elapsed: float, values: Mapping[str, float]) -> None:
        with _refusals("trackio"):
            self._stored.log({"elapsed": elapsed, **values}, step=iteration)

    def flush(self) -> None:
        """Trackio writes by itself."""

    def close(self, summary: Mapping[str, Any]) -> None:
        with _refusals("trackio"):
            numbers = {name: value for name, value in summary.items() if not isinstance(value, str)}
            if numbers:
                self._stored.log(numbers, step=self._run.info().iteration)
            self._trackio.finish()


def _imported(name: str) -> Any:
    """The module of an extra.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{name} is not installed here",
            where=f"--to {name}",
            hint=f"Install it: pip install 'mamltui[{name}]' (or pip install {name}).",
        ) from error


def _config(run: RunFolder) -> dict[str, Any]:
    """The profile, with the name of the run's folder."""
    return {**run.profile.model_dump(mode="json"), "run": run.name}


@contextmanager
def _refusals(name: str, hint: str = "") -> Iterator[None]:
    """What a tracker raises, as an error of mamltui; what it prints goes to stderr."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Exception as error:
        raise MamltuiError(
            visible(f"{name} refuses: {type(error).__name__}: {error}".splitlines()[0]),
            hint=hint or None,
        ) from error
