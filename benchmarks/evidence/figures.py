"""All figures of a folder of trainings, as numbers that a page and its plots are made of."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evidence.plan import Plan, Training, read_trials, trainings
from evidence.trainings import OVER, Found, find, read_failures, runs_by_name
from evidence.variants import SETTINGS, cases
from mamltui.errors import UsageError
from mamltui.events import Step, Validated
from mamltui.results import STATISTICS, Evaluation, write_text
from mamltui.runs import RunFolder

MOST_SEEDS = 20
TRAINING_POINTS = 24
"""Of a training curve: each the mean over so many equal stretches."""
LATE = 2 / 3
"""From here on, as a share of the iterations, a training is late: what it does then is judged."""


def collect(out: Path) -> dict[str, Any]:
    """Read everything that has ended in ``out``; accuracies are in percent.

    Raises:
        UsageError: nothing has.
    """
    plan, trials = Plan.of(out), read_trials(out)
    runs, failures = runs_by_name(out), read_failures(out)
    seeds = dict.fromkeys((setting.name for setting in SETTINGS), MOST_SEEDS)
    ended, unfinished, data, episodes = [], [], "", 0
    for training in trainings(cases(), plan, trials, seeds):
        found = find(training, runs.get(training.name, []), failures)
        if found.state in (*OVER, "failed"):
            ended.append(_training(training, found))
        elif found.state != "waiting":
            unfinished.append(training.name)
        if found.evaluation is not None:
            data, episodes = found.evaluation.data, found.evaluation.episodes
    if not ended:
        raise UsageError("no training has ended yet", where=str(out))
    path = out / "failed-trials.json"
    return {
        "plan": asdict(plan) | {"overrides": list(plan.overrides)},
        "data": data,
        "episodes": episodes,
        "settings": {
            setting.name: {"title": setting.title, "base": list(setting.overrides)}
            for setting in SETTINGS
        },
        "failed_trials": json.loads(path.read_text()) if path.exists() else {},
        "unfinished": unfinished,
        "trainings": ended,
    }


def _training(training: Training, found: Found) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "setting": training.case.setting.name,
        "variant": training.case.variant.name,
        "seed": training.seed,
        "state": found.state,
        "why": found.why,
        "iterations": training.iterations,
        "ms_per_iteration": _short(1e3 * training.trial.seconds_per_iteration),
        "train_steps": training.profile.inner.steps,
        "test_steps": training.profile.inner.test_steps,
    }
    if found.run is None:
        return figures
    figures["elapsed_minutes"] = round(found.run.info().elapsed / 60, 2)
    figures |= _curves(training, found.run)
    if found.evaluation is not None:
        figures["steps_by_validation"] = _chosen_steps(found.run, found.evaluation)
        figures["best_iteration"] = found.evaluation.iteration
        figures["test"] = {
            statistics: {
                str(result.steps): [_percent(result.accuracy), _percent(result.accuracy_ci95)]
                for result in found.evaluation.results(statistics)
            }
            for statistics in STATISTICS
        }
    return figures


def _chosen_steps(run: RunFolder, evaluation: Evaluation) -> int:
    """The number of inner steps, of those tested, that was best on the validation classes."""
    events = [logged.event for logged in run.read_events().records]
    best = [event for event in events if isinstance(event, Validated) and event.is_best][-1]
    known = [steps for steps in evaluation.steps if steps < len(best.accuracy_per_step)]
    return max(known, key=best.accuracy_per_step.__getitem__)


def _curves(training: Training, run: RunFolder) -> dict[str, Any]:
    steps = run.read_metrics().records
    events = (logged.event for logged in run.read_events().records)
    validations = [event for event in events if isinstance(event, Validated)]
    count = training.iterations

    def minutes(iteration: float) -> float:
        return round(training.trial.minutes_at(round(iteration), count), 3)

    figures: dict[str, Any] = {
        "validation": [
            [event.iteration, minutes(event.iteration), _percent(event.accuracy)]
            for event in validations
        ],
        "training": [
            [iteration, minutes(iteration), _percent(accuracy), round(loss, 4)]
            for iteration, accuracy, loss in _thinned(steps)
        ],
    }
    late = [step for step in steps if step.iteration > LATE * count]
    checked = [event for event in validations if event.iteration > LATE * count]
    if len(late) > 2 and checked:
        figures["late"] = _late(steps, late, checked)
    return figures


def _late(steps: list[Step], late: list[Step], checked: list[Validated]) -> dict[str, float]:
    """Stability and overfitting."""
    place = np.linspace(-1, 1, len(late))
    losses = np.array([step.query_loss for step in late])
    trend = np.polyval(np.polyfit(place, losses, 1), place)
    norms = [step.gradient_norm for step in steps]
    return {
        "gradient_norm_max": _short(max(norms)),
        "gradient_norm_median": _short(float(np.median(norms))),
        "loss_spread": _short(float(np.std(losses - trend))),
        "training_accuracy": _percent(float(np.mean([step.query_accuracy for step in late]))),
        "validation_accuracy": _percent(float(np.mean([event.accuracy for event in checked]))),
    }


def _thinned(steps: list[Step]) -> list[tuple[int, float, float]]:
    """Iteration, query accuracy and query loss: means over equal stretches."""
    parts = np.array_split(np.arange(len(steps)), min(TRAINING_POINTS, len(steps)) or 1)
    return [
        (
            round(float(np.mean([steps[index].iteration for index in part]))),
            float(np.mean([steps[index].query_accuracy for index in part])),
            float(np.mean([steps[index].query_loss for index in part])),
        )
        for part in parts
        if len(part)
    ]


def _percent(fraction: float) -> float:
    return round(100 * fraction, 2)


def _short(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """As JSON, a line for each training."""
    head = {key: value for key, value in figures.items() if key != "trainings"}
    lines = ",\n".join(f"  {json.dumps(each)}" for each in figures["trainings"])
    text = json.dumps(head, indent=1)[:-2] + f',\n "trainings": [\n{lines}\n ]\n}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def read_figures(path: Path) -> dict[str, Any]:
    """What ``write_figures`` wrote.

    Raises:
        UsageError: there is no such file.
    """
    try:
        figures: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(
            "there are no figures yet", where=str(path), hint="report --out DIR collects them."
        ) from error
    return figures
