"""How fast each case is: a short training of it, alone on the machine, before all others."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from evidence.plan import VALIDATION_EPISODES, Plan, Trial, read_trials, write_trials
from evidence.processes import Processes, last_words
from evidence.variants import Case
from mamltui.events import Diverged, Event, Step, Validated, event_from_dict
from mamltui.profiles import Profile, load_profile

LOG_INTERVAL = 5
VALIDATION_INTERVAL = 10


class TrialError(Exception):
    """A case could not be timed; the text says why."""


def time_all(
    cases: Sequence[Case],
    plan: Plan,
    out: Path,
    place: Sequence[str],
    seconds: float,
    processes: Processes,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Time the cases that ``out`` knows no trial of; those that failed, and why.

    Args:
        place: options that say where the data are and what computes.
        seconds: of training, of each trial.
    """
    trials = read_trials(out)
    failed = {}
    for case in cases:
        known = trials.get(case.name)
        if processes.stopping or (
            known is not None and known.overrides == (*case.overrides, *plan.overrides)
        ):
            continue
        try:
            trial = time_case(case, plan, out, place, seconds, processes)
        except TrialError as error:
            if not processes.stopping:
                failed[case.name] = str(error)
                say(f"{case.name}: the trial failed: {error}")
            continue
        trials[case.name] = trial
        write_trials(out, trials)
        say(
            f"{case.name}: {1e3 * trial.seconds_per_iteration:.1f} ms an iteration, "
            f"{trial.iterations(plan.minutes):,} in {plan.minutes:g} minutes"
        )
    return failed


def time_case(
    case: Case,
    plan: Plan,
    out: Path,
    place: Sequence[str],
    seconds: float,
    processes: Processes,
) -> Trial:
    """One short training for each stretch of the case that has a speed of its own.

    Raises:
        TrialError: one of them ended before it could be timed.
    """
    paces, validations, loggings = [], [], []
    for _, held in case.phases:
        overrides = [
            *case.overrides,
            *held,
            "name=trial",
            "meta.iterations=100000000",
            f"validation.interval={VALIDATION_INTERVAL}",
            f"validation.episodes={VALIDATION_EPISODES}",
            f"run.log_interval={LOG_INTERVAL}",
            "run.checkpoint_interval=100000000",
            *plan.overrides,
        ]
        pace, validation = _watched(case, overrides, out, place, seconds, processes)
        logging = validation * _logging_share(load_profile(case.setting.profile, overrides))
        paces.append(max(pace - logging / LOG_INTERVAL, pace / 2))
        validations.append(validation)
        loggings.append(logging)
    return Trial(
        overrides=(*case.overrides, *plan.overrides),
        shares=tuple(round(share, 6) for share, _ in case.phases),
        seconds=tuple(round(pace, 7) for pace in paces),
        validation_seconds=round(statistics.mean(validations), 6),
        logging_seconds=round(statistics.mean(loggings), 7),
    )


def _logging_share(profile: Profile) -> float:
    """What a logged iteration costs more, in validations: it scores its tasks as one does."""
    tasks = profile.meta.batch / profile.validation.episodes
    return tasks * (1 + profile.inner.steps) / (1 + profile.inner.test_steps)


def _watched(
    case: Case,
    overrides: Sequence[str],
    out: Path,
    place: Sequence[str],
    seconds: float,
    processes: Processes,
) -> tuple[float, float]:
    """Seconds of an iteration and of a validation, in ``seconds`` of a training."""
    runs, log = out / "trials", out / "logs" / f"{case.name}-trial.log"
    settings = [part for override in overrides for part in ("--set", override)]
    arguments = ["run", case.setting.profile, "--headless", "--format=jsonl", f"--out={runs}"]
    process = processes.start([*arguments, *place, *settings], log, nice=False, listen=True)
    assert process.stdout is not None
    try:
        events = (event_from_dict(json.loads(line)) for line in process.stdout)
        found = _paces(events, seconds)
    except ValueError as error:  # a number that is not finite
        found = str(error)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        shutil.rmtree(runs, ignore_errors=True)
    if isinstance(found, str):
        raise TrialError(found or last_words(log))
    return found


def _undisturbed(times: Sequence[float]) -> float:
    """The first quartile: whatever else the machine does only ever adds to a time."""
    return statistics.quantiles(times, n=4, method="inclusive")[0]


def _paces(events: Iterable[Event], seconds: float) -> tuple[float, float] | str:
    """What is looked for, or why it was not found; a fifth of the time is to warm up."""
    paces: list[float] = []
    validations: list[float] = []
    step: Step | None = None
    warm: float | None = None
    for event in events:
        if isinstance(event, Diverged):
            return f"diverged: {event.reason}"
        if isinstance(event, Step):
            step = event
            if warm is not None:
                paces.append(1 / event.iterations_per_second)
        if not isinstance(event, Validated) or step is None:
            continue
        # The first one warms up, too.
        if warm is not None:
            validations.append(event.elapsed - step.elapsed)
        elif event.elapsed >= seconds / 5:
            warm = event.elapsed
        if warm is not None and len(validations) >= 2 and event.elapsed - warm >= seconds:
            return _undisturbed(paces), _undisturbed(validations)
    return ""
