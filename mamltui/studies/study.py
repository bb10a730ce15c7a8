"""A study file: base profiles, what is varied, seeds, a budget, and what is tested."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mamltui.errors import UsageError
from mamltui.profiles import InvalidProfileError, Profile, load_profile, profile_name
from mamltui.profiles.keys import toml_value
from mamltui.profiles.model import NAME_LENGTH
from mamltui.studies.model import BaseTable, Setting, StudyFile, VariantTable

SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
WITH_A_BUDGET = {
    "validation.interval": "5 %",
    "run.log_interval": "0.5 %",
    "run.checkpoint_interval": "2 %",
}
"""What a training of a given length needs, where the study does not say otherwise."""

NOMINAL = 10_000
"""Iterations that a cell is checked with before its budget of minutes is counted in iterations."""


@dataclass(frozen=True)
class Cell:
    """One training of a study: a base, what is changed, and a seed."""

    study: str
    base: BaseTable
    variant: VariantTable | None
    point: tuple[tuple[str, Setting], ...]
    """The values of the grid's keys."""
    settings: tuple[tuple[str, Setting], ...]
    """All that is changed against the base profile, shares not yet counted, without the seed."""
    seed: int
    iterations: int | None
    """The budget, where it is in iterations."""
    has_budget: bool

    @property
    def arm(self) -> str:
        """What the cell is called among all of its base, whatever its seed; empty: the base."""
        parts = [self.variant.name] if self.variant else []
        parts += [f"{key.rpartition('.')[2]}{_short(value)}" for key, value in self.point]
        return profile_name("-".join(parts)) if parts else ""

    @property
    def title(self) -> str:
        """The arm in words."""
        parts = [self.variant.title or self.variant.name] if self.variant else []
        parts += [f"{key} {_short(value)}" for key, value in self.point]
        return ", ".join(parts) or self.base.title or self.base.name

    @property
    def group(self) -> str:
        """The cell's name without its seed."""
        return f"{self.base.name}-{self.arm}" if self.arm else self.base.name

    @property
    def name(self) -> str:
        """The cell's name, which no other cell of the study has."""
        return f"{self.group}-seed{self.seed}"

    def overrides(self, iterations: int | None = None) -> list[str]:
        """What is changed against the base profile, as for ``--set``.

        Args:
            iterations: the length of the training, where the budget is in minutes.
        """
        settings = dict(self.settings)
        length = self.iterations or iterations or self._own_length(settings)
        if self.has_budget:
            settings["meta.iterations"] = length
        return [
            f"name={profile_name(f'{self.study}-{self.name}')}",
            f"meta.seed={self.seed}",
            *(f"{key}={_counted(value, length)}" for key, value in settings.items()),
        ]

    def profile(self, iterations: int | None = None) -> Profile:
        """The cell as a profile.

        Args:
            iterations: as of :meth:`overrides`.

        Raises:
            UsageError: its settings are not allowed together.
        """
        return self._load(self.overrides(iterations))

    def _own_length(self, settings: dict[str, Setting]) -> int:
        if self.has_budget:
            return NOMINAL
        own = settings.get("meta.iterations")
        return int(own) if own is not None else self._load([]).meta.iterations

    def _load(self, overrides: Sequence[str]) -> Profile:
        try:
            return load_profile(self.base.extends, overrides)
        except InvalidProfileError as error:
            problems = [
                f"{problem.where.removeprefix('--set ')}: {problem.what}"
                + (f" ({problem.hint})" if problem.hint else "")
                for problem in error.problems
            ]
            raise UsageError(
                f"cell {self.group} is no possible profile",
                where=f"study {self.study}",
                hint="\n".join(problems),
            ) from error


@dataclass(frozen=True)
class Study:
    """A study, read and checked."""

    name: str
    file: StudyFile

    @property
    def description(self) -> str:
        return self.file.description

    @property
    def minutes(self) -> float | None:
        """Minutes of one core for each training, where that is the budget."""
        return self.file.budget.minutes

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells: the first seed of each before the second of any."""
        return tuple(
            self._cell(base, variant, point, seed)
            for seed in self.file.all_seeds
            for base in self.file.extends
            for variant in self._variants(base)
            for point in self._points()
        )

    def chosen(self, only: Sequence[str]) -> tuple[Cell, ...]:
        """The cells named: by a base, a variant, an arm, a cell without or with its seed.

        Raises:
            UsageError: a name is none of them.
        """
        if not only:
            return self.cells
        names = [
            {cell.base.name, cell.arm, cell.group, cell.name}
            | ({cell.variant.name} if cell.variant else set())
            for cell in self.cells
        ]
        known = set().union(*names) - {""}
        if unknown := sorted(set(only) - known):
            raise UsageError(
                f"study {self.name} has no {', '.join(unknown)}",
                where="--only",
                hint=f"A base, a variant, or a cell: {', '.join(sorted(known))}",
            )
        asked = set(only)
        return tuple(cell for cell, own in zip(self.cells, names, strict=True) if own & asked)

    def check(self) -> None:
        """Check every cell, whatever its seed.

        Raises:
            UsageError: one is no possible profile, or two have the same name.
        """
        seen: set[str] = set()
        for cell in self.cells:
            if len(f"{self.name}-{cell.name}") > NAME_LENGTH:
                raise UsageError(
                    f"cell {cell.name} has a name too long for its runs",
                    where=f"study {self.name}",
                    hint=f"Study and cell have {NAME_LENGTH} characters together: choose shorter "
                    "names of bases and variants.",
                )
            if cell.name in seen:
                raise UsageError(
                    f"two cells are called {cell.name}",
                    where=f"study {self.name}",
                    hint="Give variants and bases names of their own.",
                )
            seen.add(cell.name)
            if cell.seed == self.file.all_seeds[0]:
                profile = cell.profile(NOMINAL)
                if profile.is_regression:
                    raise UsageError(
                        f"cell {cell.name} fits waves, and what studies report are accuracies",
                        where=f"study {self.name}",
                        hint="Train such profiles one by one: mamltui run PROFILE --headless, then "
                        "mamltui eval RUN...",
                    )

    def _variants(self, base: BaseTable) -> Iterator[VariantTable | None]:
        if not self.file.variant:
            yield None
        for variant in self.file.variant:
            if not variant.only or base.name in variant.only:
                yield variant

    def _points(self) -> Iterator[tuple[tuple[str, Setting], ...]]:
        grid = self.file.grid
        for values in itertools.product(*grid.values()):
            yield tuple(zip(grid, values, strict=True))

    def _cell(
        self,
        base: BaseTable,
        variant: VariantTable | None,
        point: tuple[tuple[str, Setting], ...],
        seed: int,
    ) -> Cell:
        budget = self.file.budget
        settings: dict[str, Setting] = {}
        if budget.is_set:
            settings |= WITH_A_BUDGET
        settings |= self.file.settings | base.settings
        settings |= variant.settings if variant else {}
        settings |= dict(point)
        if self.file.test.steps is not None:
            settings["evaluation.steps"] = self.file.test.steps
        if variant is not None and variant.test_steps is not None:
            settings["evaluation.steps"] = variant.test_steps
        if self.file.test.episodes is not None:
            settings["evaluation.episodes"] = self.file.test.episodes
        return Cell(
            study=self.name,
            base=base,
            variant=variant,
            point=point,
            settings=tuple(settings.items()),
            seed=seed,
            iterations=budget.iterations,
            has_budget=budget.is_set,
        )


def _counted(value: Setting, iterations: int) -> str:
    """A value as an override; a share of the iterations in iterations."""
    if isinstance(value, str):
        share = SHARE.fullmatch(value)
        return str(max(1, round(float(share[1]) / 100 * iterations))) if share else value
    return toml_value(value)


def _short(value: Setting) -> str:
    return value if isinstance(value, str) else toml_value(value)
