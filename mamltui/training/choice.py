"""The engine of a training: as the profile says, or what a short trial found fastest here."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch

from mamltui import __version__
from mamltui.atomic import write_atomically
from mamltui.caching import cache_folder
from mamltui.compiled import processor
from mamltui.errors import UsageError
from mamltui.maml.calibration import CONTENDERS, Shape, Trial, calibrate
from mamltui.maml.engine import Engine
from mamltui.maml.learner import Learner
from mamltui.maml.ranks import Ranks
from mamltui.maml.shared_engine import SharedEngine
from mamltui.maml.strategies import Case, covering, must_compile, native, why_not
from mamltui.profiles import Profile
from mamltui.untrusted import Count, Seconds, Text, checked, parse_json, read_file

Say = Callable[[str], None]
_Trials = tuple[tuple[Text, Count, Seconds | None], ...]
"""Strategy, chunk and seconds, the best first, as they are in a file."""

TRIAL_SECONDS = 7 * 24 * 3600
"""How long a trial counts: what made a strategy slow that day may have passed."""


def check_engine(profile: Profile, learner: Learner, device: torch.device) -> None:
    """Whether the strategy and the precision that ``profile`` names apply on ``device``.

    Raises:
        UsageError: they do not.
    """
    asked = profile.engine
    case = Case(learner.network, learner.inner, device, precision=asked.precision)
    if asked.strategy != "auto":
        reason = why_not(asked.strategy, case)
    else:
        reason = None if covering(case) else why_not("analytic", case)
    if reason is not None:
        raise UsageError(
            f"engine.strategy {asked.strategy} with precision {asked.precision} does not apply "
            f"on {device.type}: {reason}",
            where=f"profile {profile.name}",
            hint="--set engine.strategy=auto --set engine.precision=fp32 applies everywhere.",
        )


def choose_engine(
    profile: Profile,
    learner: Learner,
    device: torch.device,
    *,
    before: tuple[str, int] | None,
    say: Say,
    should_stop: Callable[[], bool],
    ranks: Ranks | None = None,
) -> Generator[str, None, Engine]:
    """The engine that ``profile`` asks for on ``device``; yields in words what will take time.

    Args:
        before: strategy and chunk that the run was trained with so far, which ``auto`` keeps if it
            can: so a resumed training repeats an uninterrupted one bit for bit.
        say: of the engine, told when memory ran out.
        ranks: the processes among which it shares out its tasks.

    Raises:
        Interrupted: ``should_stop`` said so.
        RanksError: one of ``ranks`` cannot do its part.
        UsageError: the strategy that ``profile`` names could not be compiled.
    """
    asked = profile.engine
    case = Case(learner.network, learner.inner, device, precision=asked.precision)
    strategy: str = asked.strategy
    chunk = asked.task_chunk
    if strategy in ("auto", "native") and must_compile(case):
        yield native.COMPILING
        native.prepare(case.dtype, should_stop)
        check_engine(profile, learner, device)
    if strategy == "auto":
        if native.why_unfit(case) is None and (reason := native.why_missing(case.dtype)):
            yield f"without the kernels, which train 2 to 4 times as fast: {reason}"
        covered = covering(case)
        if before is not None and before[0] in covered:
            strategy, chunk = before[0], chunk or before[1]
        elif not {*CONTENDERS} <= {*covered}:
            strategy = covered[0]
        else:
            best = yield from _calibrated(profile, case, covered, should_stop)
            strategy, chunk = best.strategy, chunk or best.task_chunk
    kind = Engine if ranks is None else partial(SharedEngine, ranks)
    return kind(
        learner.network,
        learner.inner,
        device=device,
        strategy=strategy,
        precision=asked.precision,
        task_chunk=chunk,
        say=say,
    )


def _calibrated(
    profile: Profile, case: Case, covered: list[str], should_stop: Callable[[], bool]
) -> Generator[str, None, Trial]:
    """The fastest trial, looked up where this machine has tried the same of late."""
    task = profile.task
    shape = Shape(profile.meta.batch, task.way * task.shot, task.way * task.query)
    known = [
        processor(),
        torch.get_num_threads(),
        torch.__version__,
        __version__,
        _same_work(case),
        shape,
    ]
    key = hashlib.sha256("\0".join(map(str, known)).encode()).hexdigest()[:20]
    path = cache_folder() / "calibration" / f"{key}.json"
    with suppress(OSError, ValueError, IndexError):
        if time.time() - path.stat().st_mtime < TRIAL_SECONDS:
            return _best_of(read_file(path, 100_000), covered)
    yield "timing the ways to compute the meta-gradient here"
    trials = calibrate(case, shape, should_stop)
    with suppress(OSError):  # then the next training tries again
        timings = [(trial.strategy, trial.task_chunk, trial.seconds) for trial in trials]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(timings).encode())
    return trials[0]


def _same_work(case: Case) -> Case:
    """The case but for numbers that cost no time, so that they share a trial."""
    return replace(case, inner=replace(case.inner, alpha=1.0, label_smoothing=0.0))


def _best_of(content: bytes, covered: list[str]) -> Trial:
    """The first of the trials that were written; ValueError and others for anything else."""
    strategy, chunk, seconds = checked(_Trials, parse_json(content))[0]
    if strategy not in covered:
        raise ValueError("no trial of ours")
    return Trial(strategy, chunk, seconds)
