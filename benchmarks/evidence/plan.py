"""The plan of a folder: what is asked of all trainings, and how long each one may be."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evidence.variants import Case
from mamltui import __version__
from mamltui.errors import UsageError
from mamltui.profiles import Profile, load_profile
from mamltui.results import write_text

VALIDATIONS = 15
"""Of a training, evenly spread."""
VALIDATION_EPISODES = 100
LOGGED = 120
"""Iterations of a training that are logged, evenly spread; some more where it does not divide."""
FEWEST_ITERATIONS = 2 * VALIDATIONS


@dataclass(frozen=True)
class Plan:
    """What all trainings of a folder share."""

    minutes: float
    """Of training, for each."""
    threads: int
    device: str
    overrides: tuple[str, ...]
    """Of every profile, after all others."""
    machine: dict[str, str]

    @classmethod
    def of(cls, out: Path) -> Plan:
        """The plan that ``out`` was begun with.

        Raises:
            UsageError: there is none.
        """
        try:
            kept = json.loads((out / "plan.json").read_text())
        except FileNotFoundError as error:
            raise UsageError(
                "nothing was begun there", where=str(out), hint="Begin with: ablation.py run"
            ) from error
        return cls(**kept | {"overrides": tuple(kept["overrides"])})

    def keep(self, out: Path) -> Plan:
        """Write the plan, or find the same one there; figures of two plans are never mixed.

        Raises:
            UsageError: ``out`` was begun with another.
        """
        out.mkdir(parents=True, exist_ok=True)
        path = out / "plan.json"
        if not path.exists():
            write_text(path, json.dumps(asdict(self), indent=1) + "\n")
            return self
        before = Plan.of(out)
        for key in ("minutes", "threads", "device", "overrides"):
            old, new = getattr(before, key), getattr(self, key)
            if old != new:
                raise UsageError(
                    f"begun with {key} = {old}, and now it is {new}",
                    where=str(out),
                    hint="Go on with the same, or choose another --out.",
                )
        return before


def machine() -> dict[str, str]:
    """What computes, as far as figures depend on it."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "torch": version("torch"),
        "mamltui": __version__,
    }


@dataclass(frozen=True)
class Trial:
    """How fast a case is, alone on the machine."""

    overrides: tuple[str, ...]
    """That it was timed with."""
    shares: tuple[float, ...]
    """Of the stretches that differ in speed."""
    seconds: tuple[float, ...]
    """Of an iteration of each stretch, logging left out."""
    validation_seconds: float
    logging_seconds: float
    """Of one logged iteration, more than of others."""

    @property
    def seconds_per_iteration(self) -> float:
        """Mean over a whole training, validation and logging left out."""
        return sum(share * each for share, each in zip(self.shares, self.seconds, strict=True))

    def iterations(self, minutes: float) -> int:
        """How many fit into ``minutes`` with validations and logging."""
        aside = VALIDATIONS * self.validation_seconds + LOGGED * self.logging_seconds
        return max(FEWEST_ITERATIONS, int((60 * minutes - aside) / self.seconds_per_iteration))

    def minutes_at(self, iteration: int, iterations: int) -> float:
        """Minutes of a calm machine that a training of ``iterations`` takes up to ``iteration``.

        What is done aside is spread evenly.
        """
        aside = VALIDATIONS * self.validation_seconds + LOGGED * self.logging_seconds
        total = aside * iteration / iterations
        begin = 0.0
        for share, seconds in zip(self.shares, self.seconds, strict=True):
            inside = min(max(iteration / iterations - begin, 0.0), share)
            total += inside * iterations * seconds
            begin += share
        return total / 60


@dataclass(frozen=True)
class Training:
    """One run: a case, a seed, and as many iterations as the minutes hold."""

    case: Case
    seed: int
    plan: Plan
    trial: Trial

    @property
    def name(self) -> str:
        """Of its profile, with which its run folder begins."""
        return f"{self.case.name}-seed{self.seed}"

    @property
    def iterations(self) -> int:
        return self.trial.iterations(self.plan.minutes)

    @property
    def overrides(self) -> list[str]:
        """Against the packaged profile, all of them."""
        count = self.iterations
        interval = -(-count // VALIDATIONS)
        return [
            *self.case.overrides,
            f"name={self.name}",
            f"meta.seed={self.seed}",
            f"meta.iterations={count}",
            *(f"{key}={max(1, round(share * count))}" for key, share in self.case.shares.items()),
            f"validation.interval={interval}",
            f"validation.episodes={VALIDATION_EPISODES}",
            f"run.log_interval={max(1, count // LOGGED)}",
            f"run.checkpoint_interval={-(-interval // 3)}",
            *self.plan.overrides,
        ]

    @cached_property
    def profile(self) -> Profile:
        """What a run of this training has been trained by."""
        return load_profile(self.case.setting.profile, self.overrides)


def read_trials(out: Path) -> dict[str, Trial]:
    """The trials that were done, by the names of their cases."""
    path = out / "trials.json"
    if not path.exists():
        return {}
    return {
        name: Trial(**{key: _tuple(value) for key, value in kept.items()})
        for name, kept in json.loads(path.read_text()).items()
    }


def write_trials(out: Path, trials: dict[str, Trial]) -> None:
    kept = {name: asdict(trial) for name, trial in trials.items()}
    write_text(out / "trials.json", json.dumps(kept, indent=1) + "\n")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def trainings(
    cases: Sequence[Case], plan: Plan, trials: dict[str, Trial], seeds: dict[str, int]
) -> list[Training]:
    """In the order of their turns: the first seed of all cases comes first.

    Args:
        seeds: how many, by the name of the setting. Cases without a trial are left out.
    """
    return [
        Training(case, seed, plan, trials[case.name])
        for seed in range(max(seeds.values()))
        for case in cases
        if seed < seeds[case.setting.name] and case.name in trials
    ]
