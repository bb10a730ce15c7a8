"""Where a training starts: at its last checkpoint, or at the beginning."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import NamedTuple

import torch

from mamltui.errors import CheckpointError, RunError
from mamltui.maml.learner import Learner
from mamltui.profiles import Profile, differences
from mamltui.runs import Best, Checkpoint, RunFolder, RunInfo, TrainedOn
from mamltui.runs.folder import Place
from mamltui.runs.kept import keep_only, kept_iterations
from mamltui.runs.rescue import bring_back
from mamltui.training.device import describe_device
from mamltui.training.plan import Plan
from mamltui.training.state import TrainingState
from mamltui.training.transfer import find_transfer
from mamltui.training.validation import ranked


class Start(NamedTuple):
    """What a sitting begins with."""

    state: TrainingState
    resumed: bool
    """From a checkpoint."""
    elapsed: float
    """Seconds of training, in earlier sittings."""
    notices: list[str]


def find_start(plan: Plan, run: RunFolder) -> Start:
    """Take up a locked run, and drop what it wrote after its last checkpoint.

    Raises:
        RunError: the run is finished or out of patience, has more iterations than asked for, or is
            damaged; it is then as it was.
        DataError: it is of other data; likewise.
        CheckpointError: the last checkpoint is damaged or of another network; likewise.
        MamltuiError: the run that ``meta.start`` names cannot be started from.
    """
    profile, learner, device = plan.profile, plan.learner, plan.device
    info, before = run.info(), run.profile
    run.check_data(plan.bank, plan.split)
    brought_back = bring_back(run)
    info = run.info()
    checkpoint = None
    if run.checkpoint_path("last").exists() or info.state == "finished":
        checkpoint = run.load_checkpoint("last", expect=learner)
        _check_unfinished(run, info, checkpoint, profile)
    notices = [brought_back] if brought_back else []
    if checkpoint is None:
        if info.started is not None:
            notices.append("there is no checkpoint yet: the run starts over")
        transfer = find_transfer(profile, learner, run.path.parent)
        parameters = None if transfer is None else transfer.parameters
        state = TrainingState.fresh(learner, profile.meta, device, parameters)
        if transfer is not None:
            notices += transfer.notices(TrainedOn.of(plan.bank, plan.split))
            run.update(start=transfer.source)
    else:
        notices += _differences(info, before, profile, device)
        state = TrainingState.restored(checkpoint, profile.meta, device)
        if checkpoint.best_iteration == checkpoint.iteration:
            _restore(run, checkpoint, "best", learner)
        state.kept = _restore_kept(run, checkpoint, state.best, profile, learner)
    keep_only(run, {best.iteration for best in state.kept})
    run.remove_parts()
    run.cut_back(state.iteration, state.validated)
    if profile != before:
        run.set_profile(profile)
    elapsed = checkpoint.elapsed if checkpoint else 0.0
    return Start(state, checkpoint is not None, elapsed, notices)


def _check_unfinished(
    run: RunFolder, info: RunInfo, checkpoint: Checkpoint, profile: Profile
) -> None:
    done, asked = checkpoint.iteration, profile.meta.iterations
    if done > asked:
        raise RunError(
            f"the run has done {done} iterations, more than the {asked} asked for",
            where=str(run.path),
        )
    if done == asked and info.state == "finished":
        raise RunError(
            f"the run is finished: all {asked} iterations are done",
            where=str(run.path),
            hint=f"To go on, ask for more, for instance --set meta.iterations={2 * asked}",
        )
    best, validation = checkpoint.best_iteration, profile.validation
    if info.state != "finished" or best is None:
        return
    if validation.is_out_of_patience(checkpoint.validated, best):
        raise RunError(
            f"the run is finished: it stopped early at iteration {done:,}, for no validation since "
            f"iteration {best:,} was better",
            where=str(run.path),
            hint=f"To go on, ask for more patience than {validation.patience}: --set "
            f"validation.patience={2 * validation.patience}, or 0 to never stop early",
        )


def _restore(run: RunFolder, checkpoint: Checkpoint, place: Place, learner: Learner) -> None:
    """A new one there is written after the same last: in between, the process may have ended."""
    try:
        if run.load_checkpoint(place, learner).iteration == checkpoint.iteration:
            return
    except CheckpointError:
        pass
    run.save_checkpoint(place, checkpoint)


def _restore_kept(
    run: RunFolder,
    checkpoint: Checkpoint,
    best: Best | None,
    profile: Profile,
    learner: Learner,
) -> tuple[Best, ...]:
    """What is kept from here on, for ``profile`` may keep more or fewer than before."""
    there = {*kept_iterations(run), checkpoint.iteration}
    kept = ranked((each for each in checkpoint.kept if each.iteration in there), profile.validation)
    if any(each.iteration == checkpoint.iteration for each in kept):
        _restore(run, checkpoint, checkpoint.iteration, learner)
    if kept or best is None or profile.validation.keep == 1:
        return kept
    # Until now only the best was kept: it is the first of more, if it is whole.
    with suppress(CheckpointError):
        saved = run.load_checkpoint("best", learner)
        if saved.iteration == best.iteration:
            run.save_checkpoint(best.iteration, replace(saved, kept=(best,)))
            return (best,)
    return ()


def _differences(
    info: RunInfo, before: Profile, profile: Profile, device: torch.device
) -> list[str]:
    """What is not as it was, and so may show in the results."""
    notices = []
    settings = differences([before, profile])
    if settings:
        notices.append(f"resumed with other settings: {', '.join(map(str, settings))}")
    machine = {"device": describe_device(device), "torch": metadata.version("torch")}
    machine_before = {"device": str(info.device), "torch": info.versions.get("torch", "unknown")}
    if device.type == "cpu":
        machine["threads"] = str(torch.get_num_threads())
        machine_before["threads"] = str(info.threads)
    moved = _changes(machine_before, machine)
    if moved:
        notices.append(
            f"resumed with {moved}: the last digits may differ from those of an unbroken run"
        )
    if info.state == "diverged":
        notices.append(f"the run had diverged ({info.error}) and may diverge again")
    return notices


def _changes(before: dict[str, str], after: dict[str, str]) -> str:
    return ", ".join(
        f"{key} {before[key]} -> {after[key]}" for key in after if before[key] != after[key]
    )
