"""Which run a training goes on with, and what is left to do: one rule for RUN and for ``auto``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mamltui import commands
from mamltui.errors import CheckpointError, MamltuiError, RunError, UsageError
from mamltui.evaluation import kept_result
from mamltui.maml.learner import Learner
from mamltui.profiles import Profile, differences, other_learning, parse_profile
from mamltui.runs import Checkpoint, RunFolder, RunInfo, find_run, list_runs
from mamltui.runs.folder import CheckpointName
from mamltui.runs.kept import kept_iterations
from mamltui.runs.rescue import with_rescued

PASSED_OVER_SHOWN = 5


@dataclass(frozen=True)
class Resumable:
    """A run that can be gone on with."""

    run: RunFolder
    profile: Profile
    """The run's own, with what is set explicitly now."""
    iteration: int | None
    """Of the checkpoint that it goes on from; None: it has none and starts over."""
    is_trained: bool
    """Nothing is left to train, but its evaluation is missing."""
    notices: list[str]


def find_resumable(
    profile: Profile,
    overrides: Sequence[str],
    resume: str,
    runs: Path | None,
    say: Callable[[str], None],
) -> Resumable | None:
    """The run that ``resume`` names, or with ``auto`` the latest one that fits, if any does.

    A run fits if it has trained as ``profile`` would, see :func:`other_learning`, and has
    something left to do. The latest is the one that trained last, by the order in which the
    trainings below the folder began and not by the clock. One that diverged is taken only by name:
    it would diverge again.

    Args:
        profile: what is asked for, ``overrides`` included.
        overrides: as given to ``--set``. Of what may change in a run, only this is changed.
        say: told in words which run is taken and which are passed over.

    Raises:
        MamltuiError: the named run cannot be gone on with; or the runs folder cannot be read.
    """
    resumable: Resumable | None = None
    if resume != "auto":
        resumable = _resumable(find_run(resume, runs), profile, overrides, runs)
        _tell(resumable, say)
        return resumable
    passed: list[str] = []
    for summary in sorted(list_runs(runs), key=lambda each: _order(each.info), reverse=True):
        if summary.info is None:
            if summary.name.startswith(f"{profile.name}-"):
                passed.append(f"{summary.name}: {summary.problem}")
            continue
        if summary.info.profile != profile.name:
            continue
        try:
            if summary.info.state == "diverged":
                raise RunError(f"it diverged: {summary.info.error}")
            resumable = _resumable(RunFolder(summary.path), profile, overrides, runs)
            break
        except MamltuiError as error:
            passed.append(f"{summary.name}: {error.what}")
    for each in passed[:PASSED_OVER_SHOWN]:
        say(f"passed over {each}")
    if len(passed) > PASSED_OVER_SHOWN:
        say(f"passed over {len(passed) - PASSED_OVER_SHOWN} more")
    if resumable is None:
        say("there is no unfinished run of this profile: a new one starts")
    else:
        _tell(resumable, say)
    return resumable


def find_checkpoint(
    run: RunFolder, expect: Learner | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to go on from, and what there is to say of it.

    That is the last one; where it cannot be read, the latest of the best and those kept for an
    ensemble. None: the run has none, and had not got so far.

    Raises:
        CheckpointError: there should be one, but none can be read or it is of another network than
            ``expect``.
    """
    try:
        run.load_checkpoint("last")
    except CheckpointError as error:
        damage = error
    else:  # whole: if it is of another network, so is the run
        return run.load_checkpoint("last", expect), []
    others: list[tuple[Checkpoint, CheckpointName]] = []
    names: tuple[CheckpointName, ...] = ("best", *kept_iterations(run))
    for name in names:
        try:
            others.append((run.load_checkpoint(name, expect), name))
        except CheckpointError:
            continue
    if not others:
        if not run.checkpoint_path("last").exists() and run.info().state != "finished":
            return None, []
        raise damage
    checkpoint, name = max(others, key=lambda each: each[0].iteration)
    which = "the best one" if name == "best" else "one kept for an ensemble"
    return checkpoint, [
        f"the last checkpoint is lost ({damage.what}): going on from {which}, of iteration "
        f"{checkpoint.iteration:,}"
    ]


def check_unfinished(run: RunFolder, checkpoint: Checkpoint, profile: Profile) -> None:
    """Whether ``profile`` asks for more training than the run has had.

    Raises:
        RunError: it has done more iterations than asked for, or is finished.
    """
    done, asked = checkpoint.iteration, profile.meta.iterations
    if done > asked:
        raise RunError(
            f"the run has done {done:,} iterations, more than the {asked:,} asked for",
            where=str(run.path),
        )
    if run.info().state != "finished":
        return
    if done == asked:
        raise RunError(
            f"the run is finished: all {asked:,} iterations are done",
            where=str(run.path),
            hint=f"To go on, ask for more, for instance --set meta.iterations={2 * asked}",
        )
    best, validation = checkpoint.best_iteration, profile.validation
    if best is not None and validation.is_out_of_patience(checkpoint.validated, best):
        raise RunError(
            f"the run is finished: it stopped early at iteration {done:,}, for no validation since "
            f"iteration {best:,} was better",
            where=str(run.path),
            hint=f"To go on, ask for more patience than {validation.patience}: --set "
            f"validation.patience={2 * validation.patience}, or 0 to never stop early",
        )


def _resumable(
    run: RunFolder, profile: Profile, overrides: Sequence[str], runs: Path | None
) -> Resumable:
    """Raises a MamltuiError that says why the run cannot be gone on with."""
    own, info = run.profile, run.info()
    others = other_learning(own, profile)
    if others:
        raise UsageError(
            f"the run was trained with other settings: {', '.join(map(str, others))}",
            where=str(run.path),
            hint="A run goes on as it began; description, meta.iterations, validation.patience, "
            "validation.keep, [run], [evaluation] and [engine] may change.\n"
            f"Its own profile is {run.path / 'profile.toml'}",
        )
    if info.state in ("running", "paused"):
        raise run.in_use()
    wanted = parse_profile(own.to_toml(), str(run.path / "profile.toml"), overrides)
    stays = [
        f"{each.key} {each.values[0]}, not {each.values[1]}"
        for each in differences([wanted, profile])
        if each.key != "description"
    ]
    notices = [f"its own settings stay, but for --set: {', '.join(stays)}"] if stays else []
    ahead, word = with_rescued(run)
    notices += [word] if word else []
    info = ahead.info()
    checkpoint, _ = find_checkpoint(ahead)
    is_trained = False
    if checkpoint is not None:
        try:
            check_unfinished(ahead, checkpoint, wanted)
        except RunError as finished:
            is_trained = info.state == "finished" and checkpoint.iteration <= wanted.meta.iterations
            if not is_trained:
                raise
            if kept_result(ahead, wanted) is not None:
                again = commands.eval_command([run.name], commands.CommonOptions(runs))
                finished.hint = f"{finished.hint}\nTo evaluate it again: {again}"
                raise
    iteration = None if checkpoint is None else checkpoint.iteration
    return Resumable(run, wanted, iteration, is_trained, notices)


def _tell(resumable: Resumable, say: Callable[[str], None]) -> None:
    if resumable.is_trained:
        left = "it is trained, its evaluation is left"
    elif resumable.iteration is None:
        left = "it has no checkpoint and starts over"
    else:
        left = f"from iteration {resumable.iteration:,}"
    say(f"going on with {resumable.run.name}: {left}")
    for notice in resumable.notices:
        say(notice)


def _order(info: RunInfo | None) -> tuple[int, str]:
    """Later is greater."""
    return (-1, "") if info is None else (info.sitting, info.started or info.created)
