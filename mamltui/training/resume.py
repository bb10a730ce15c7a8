"""Where a training starts: at its last checkpoint, or at the beginning."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import NamedTuple

import torch

from mamltui.errors import CheckpointError
from mamltui.maml.learner import Learner
from mamltui.maml.own_network import ModuleNetwork
from mamltui.profiles import Profile, differences
from mamltui.runs import Best, Checkpoint, RunFolder, RunInfo, TrainedOn
from mamltui.runs.folder import CheckpointName
from mamltui.runs.kept import keep_only, kept_iterations
from mamltui.runs.rescue import bring_back
from mamltui.training.clock import Seconds
from mamltui.training.device import describe_device
from mamltui.training.plan import Plan
from mamltui.training.resumable import check_unfinished, find_checkpoint
from mamltui.training.state import TrainingState
from mamltui.training.transfer import find_transfer
from mamltui.training.validation import ranked


class Start(NamedTuple):
    """What a sitting begins with."""

    state: TrainingState
    resumed: bool
    """From a checkpoint."""
    seconds: Seconds
    """Of training, in earlier sittings."""
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
    run.mend()
    checkpoint, notices = find_checkpoint(run, learner)
    is_last = not notices
    if brought_back:
        notices.insert(0, brought_back)
    if checkpoint is None:
        if info.started is not None:
            notices.append("there is no checkpoint yet: the run starts over")
        transfer = find_transfer(profile, learner, run.path.parent)
        parameters = None if transfer is None else transfer.parameters
        state = TrainingState.fresh(learner, profile.meta, device, parameters)
        if transfer is not None:
            notices += transfer.notices(TrainedOn.of(plan.bank, plan.split))
            if transfer.source is not None:
                run.update(start=transfer.source)
    else:
        check_unfinished(run, checkpoint, profile)
        notices += _differences(info, before, profile, device)
        state = TrainingState.restored(checkpoint, profile.meta, device)
        if not is_last:
            run.save_checkpoint("last", checkpoint)
        if not _restore_best(run, checkpoint, learner):
            notices.append("the best checkpoint is lost: the best from here on is kept")
            state.best = None
            # A training ends with a best: what was validated last is validated again.
            state.validated = min(state.validated, max(0, state.iteration - 1))
        state.kept = _restore_kept(run, checkpoint, state.best, profile, learner)
    state.kept = tuple(each for each in state.kept if each.iteration <= state.validated)
    keep_only(run, {best.iteration for best in state.kept})
    run.remove_parts()
    run.cut_back(state.iteration, state.validated)
    if profile != before:
        run.set_profile(profile)
    if isinstance(learner.network, ModuleNetwork):
        notices += learner.network.notices()
    seconds = Seconds()
    if checkpoint is not None:
        seconds = Seconds(checkpoint.elapsed, checkpoint.processor_seconds)
    return Start(state, checkpoint is not None, seconds, notices)


def _restore(
    run: RunFolder, checkpoint: Checkpoint, name: CheckpointName, learner: Learner
) -> None:
    """Write it there unless it is: the process may have ended in between, or the file be lost."""
    try:
        if run.load_checkpoint(name, learner).iteration == checkpoint.iteration:
            return
    except CheckpointError:
        pass
    run.save_checkpoint(name, checkpoint)


def _restore_best(run: RunFolder, checkpoint: Checkpoint, learner: Learner) -> bool:
    """Whether the checkpoint of the best validation so far, if there was one, is there again."""
    best = checkpoint.best_iteration
    if best is None:
        return True
    if best == checkpoint.iteration:
        _restore(run, checkpoint, "best", learner)
        return True
    for name in ("best", best):
        with suppress(CheckpointError):
            saved = run.load_checkpoint(name, learner)
            if saved.iteration == best:
                if name != "best":
                    run.save_checkpoint("best", saved)
                return True
    return False


def _restore_kept(
    run: RunFolder,
    checkpoint: Checkpoint,
    best: Best | None,
    profile: Profile,
    learner: Learner,
) -> tuple[Best, ...]:
    """What is kept from here on, for ``profile`` may keep more or fewer than before."""
    there = {*kept_iterations(run), checkpoint.iteration}
    best_kept = ranked(
        (each for each in checkpoint.kept if each.iteration in there), profile.validation
    )
    if any(each.iteration == checkpoint.iteration for each in best_kept):
        _restore(run, checkpoint, checkpoint.iteration, learner)
    if best_kept or best is None or profile.validation.keep == 1:
        return best_kept
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
