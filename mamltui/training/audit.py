"""Is a run folder whole and true: hashes, completeness, and an iteration computed again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

import torch

from mamltui.data.banks import Banks
from mamltui.errors import DataError, MamltuiError, RunError
from mamltui.events import Finished, Notice, Validated
from mamltui.results import kept_evaluations
from mamltui.runs import Checkpoint, RunFolder, RunInfo
from mamltui.runs.folder import CheckpointName
from mamltui.runs.kept import kept_iterations
from mamltui.training.device import describe_device
from mamltui.training.divergence import Watch
from mamltui.training.meta_step import MetaStep
from mamltui.training.plan import Plan
from mamltui.training.schedule import is_constant
from mamltui.training.state import TrainingState
from mamltui.training.transfer import find_transfer
from mamltui.training.validation import rank

TOLERANCE = 1e-4
"""Relative; what rounding may make of a loss in the iterations between two logged ones."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    result: str
    """In words."""


def audit(
    run: RunFolder,
    banks: Banks,
    device: torch.device,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Check]:
    """Check a run, the quick checks first; nothing is written.

    A run that trains meanwhile may look incomplete.

    Args:
        say: told in words what takes time.

    Raises:
        RunError: ``run.json`` cannot be read, or it is a reference run.
        ProfileError: ``profile.toml`` cannot be read.
        DataError: the images of the training cannot be had.
        MamltuiError: nothing of the run can be computed here.
    """
    if run.is_reference:
        raise RunError(
            "this run came with mamltui as a slim copy, which has not all that is checked",
            where=str(run.path),
        )
    info, profile = run.info(), run.profile
    bank = banks.bank(profile.data)
    plan = Plan.of(profile, bank, device)
    try:
        run.check_data(plan.bank, plan.split)
        yield Check("data", True, f"{bank.name}, content {bank.content_hash[:12]}, as trained on")
    except DataError as error:
        yield Check("data", False, error.what)
    checkpoints: dict[CheckpointName, Checkpoint] = {}
    names: tuple[CheckpointName, ...] = ("last", "best", *kept_iterations(run))
    for name in names:
        check, checkpoint = _checkpoint(run, name, plan, info)
        yield check
        if checkpoint is not None:
            checkpoints[name] = checkpoint
    reached = checkpoints["last"].iteration if "last" in checkpoints else info.iteration
    for check_lines in (_metrics, _validations, _end):
        try:
            yield check_lines(run, info, reached)
        except MamltuiError as error:
            yield Check(check_lines.__name__.strip("_"), False, str(error).splitlines()[0])
    yield _results(run, info)
    try:
        yield _replay(run, info, plan, list(checkpoints.values()), say)
    except MamltuiError as error:
        yield Check("replay", False, error.what)


def _checkpoint(
    run: RunFolder, name: CheckpointName, plan: Plan, info: RunInfo
) -> tuple[Check, Checkpoint | None]:
    label = f"top-{name}" if isinstance(name, int) else name
    try:
        checkpoint = run.load_checkpoint(name, plan.learner)
    except MamltuiError as error:
        early = (name == "best" and info.best is None) or (name == "last" and not info.iteration)
        missing = early and not run.checkpoint_path(name).exists()
        return Check(label, missing, "none yet" if missing else error.what), None
    wanted = {"last": None, "best": info.best.iteration if info.best else None}.get(label, name)
    if wanted is not None and checkpoint.iteration != wanted:
        what = f"of iteration {checkpoint.iteration:,}, not {wanted:,}"
        return Check(label, False, what), checkpoint
    hashed = "whole by its hash" if checkpoint.is_hashed else "readable; it carries no hash"
    return Check(label, True, f"iteration {checkpoint.iteration:,}, {hashed}"), checkpoint


def _metrics(run: RunFolder, info: RunInfo, reached: int) -> Check:
    """Every multiple of the interval is logged, since the last time that the interval changed."""
    interval = run.profile.run.log_interval
    since = _changed(run, "run.log_interval")
    logged = [step.iteration for step in run.read_metrics().records]
    expected = {*range(interval, reached + 1, interval)}
    if reached == info.iterations and info.state == "finished":
        expected.add(reached)
    missing = sorted(each for each in expected - {*logged} if each > since)
    if missing:
        return Check("metrics", False, f"{len(missing):,} lines are missing: {_some(missing)}")
    if logged != sorted({*logged}):
        return Check("metrics", False, "the lines are not in order, or stand twice")
    return Check("metrics", True, f"{len(logged):,} lines, none missing to iteration {reached:,}")


def _validations(run: RunFolder, info: RunInfo, reached: int) -> Check:
    validations = [
        each.event for each in run.read_events().records if isinstance(each.event, Validated)
    ]
    iterations = [each.iteration for each in validations]
    interval = run.profile.validation.interval
    # At the checkpoint itself it may be still to come.
    missing = sorted({*range(interval, reached, interval)} - {*iterations})
    if missing:
        return Check("validations", False, f"{len(missing):,} are missing: {_some(missing)}")
    if iterations != sorted({*iterations}):
        return Check("validations", False, "they are not in order, or stand twice")
    if validations and info.best is not None:
        criterion = run.profile.validation.criterion
        best = min(validations, key=lambda each: rank(each, criterion))
        if best.iteration != info.best.iteration:
            return Check(
                "validations",
                False,
                f"the best is of iteration {best.iteration:,}, run.json says "
                f"{info.best.iteration:,}",
            )
    return Check("validations", True, f"{len(validations):,}, none missing")


def _end(run: RunFolder, info: RunInfo, reached: int) -> Check:
    ends = [each.event for each in run.read_events().records if isinstance(each.event, Finished)]
    wanted = int(info.state == "finished")
    if len(ends) != wanted:
        return Check("end", False, f"the run is {info.state}, finished stands {len(ends)} times")
    return Check("end", True, f"{info.state}, {reached:,} of {info.iterations:,} iterations")


def _results(run: RunFolder, info: RunInfo) -> Check:
    files = sorted(run.evaluation.glob("*.json"))
    results = kept_evaluations(run.evaluation)
    if len(results) < len(files):
        return Check("results", False, f"{len(files) - len(results)} of {len(files)} are damaged")
    others = [
        each
        for each in results
        if info.data and each.data_hash != info.data.content_hash and not each.is_other_data
    ]
    if others:
        return Check("results", False, f"{len(others)} are of other images than the training")
    return Check("results", True, f"{len(results)}, of the images of the training")


def _replay(
    run: RunFolder,
    info: RunInfo,
    plan: Plan,
    checkpoints: list[Checkpoint],
    say: Callable[[str], None],
) -> Check:
    """Train on from a checkpoint, or else from the start, to the next iteration that was logged."""
    steps = {step.iteration: step for step in run.read_metrics().records}
    since = 0 if is_constant(plan.profile.meta) else _changed(run, "meta.iterations")
    begins = [each.iteration for each in checkpoints if each.iteration >= since]
    ways = [
        (min(later) - begin, begin)
        for begin in [*begins, *([0] if since == 0 else [])]
        if (later := [iteration for iteration in steps if iteration > begin])
    ]
    if not ways:
        return Check("replay", True, "no logged iteration follows a checkpoint")
    # The fewest iterations; of equals the latest.
    length, begin = min(ways, key=lambda way: (way[0], -way[1]))
    recorded = steps[begin + length].query_loss
    replayed = _query_loss(run, info, plan, checkpoints, begin, length, say)
    difference = abs(replayed - recorded) / max(abs(recorded), 1e-12)
    exact = "the same to the last digit" if replayed == recorded else f"off by {difference:.1e}"
    if replayed != recorded and (moved := _moved(info, plan.device)):
        exact += f", on {moved}"
    return Check(
        "replay",
        difference <= TOLERANCE,
        f"iteration {begin + length:,} from {begin:,}: loss {replayed:.6f}, logged {recorded:.6f}, "
        f"{exact}",
    )


def _query_loss(
    run: RunFolder,
    info: RunInfo,
    plan: Plan,
    checkpoints: list[Checkpoint],
    begin: int,
    length: int,
    say: Callable[[str], None],
) -> float:
    meta, learner, device = plan.profile.meta, plan.learner, plan.device
    checkpoint = next((each for each in checkpoints if each.iteration == begin), None)
    if checkpoint is not None:
        state = TrainingState.restored(checkpoint, meta, device)
    else:
        transfer = find_transfer(plan.profile, learner, run.path.parent)
        parameters = None if transfer is None else transfer.parameters
        state = TrainingState.fresh(learner, meta, device, parameters)
    watch = Watch(math.inf, device)
    step = MetaStep(plan, lambda: False)
    trained_with = (info.strategy, info.task_chunk or 0) if info.strategy else None
    for words in step.choose(state, watch, trained_with):
        say(words)
    for iteration in range(begin + 1, begin + length + 1):
        logged = step.take(iteration == begin + length)
    assert logged is not None
    return logged.metrics.query_loss


def _changed(run: RunFolder, key: str) -> int:
    """The iteration of the last resume that changed ``key``; 0: none did."""
    return max(
        (
            logged.event.iteration
            for logged in run.read_events().records
            if isinstance(logged.event, Notice)
            and logged.event.message.startswith("resumed with other settings")
            and f"{key} " in logged.event.message
        ),
        default=0,
    )


def _moved(info: RunInfo, device: torch.device) -> str:
    """What of this machine is not that of the training."""
    here = {
        "device": (info.device, describe_device(device)),
        "torch": (info.versions.get("torch"), metadata.version("torch")),
        "threads": (info.threads, torch.get_num_threads()),
    }
    moved = {name: pair for name, pair in here.items() if pair[0] != pair[1]}
    return ", ".join(f"{name} {now}, not {then}" for name, (then, now) in moved.items())


def _some(iterations: list[int]) -> str:
    """The first few, for people."""
    more = len(iterations) - 5
    shown = ", ".join(f"{each:,}" for each in iterations[:5])
    return f"{shown}{f' and {more:,} more' if more > 0 else ''}"
