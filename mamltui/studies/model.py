"""What may stand in a study file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mamltui.profiles import Profile, keys_of
from mamltui.profiles.model import NAME_PATTERN, PRINTABLE

Setting: TypeAlias = str | int | float | bool
"""The value of a profile's key; a number of iterations may be a share of all, as ``"5 %"``."""
Name = Annotated[str, Field(min_length=1, max_length=40, pattern=NAME_PATTERN)]
Words = Annotated[str, Field(max_length=300, pattern=PRINTABLE)]
KEPT_BY_THE_STUDY = {"name", "description", "meta.seed"}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables under dotted keys."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}.")
        else:
            yield path, value


def _settings(values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError("this is not a table of keys of a profile")
    known = {key.path: key for key in keys_of(Profile)}
    settings = dict(flat(values))
    for path, value in settings.items():
        if path in KEPT_BY_THE_STUDY:
            raise ValueError(f"{path} is given by the study itself")
        if path not in known:
            near = [key for key in known if key.endswith(f".{path.rpartition('.')[2]}")]
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{path} is no key of a profile{meant}")
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f"{path} needs one value here")
    return settings


def _grid(values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError("this is not a table of keys of a profile")
    lists = dict(flat(values))
    for path, value in lists.items():
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"{path} needs a list of values")
        for each in value:
            _settings({path: each})
        if len(set(map(str, value))) < len(value):
            raise ValueError(f"{path} has a value twice")
    return {path: tuple(value) for path, value in lists.items()}


SettingsTable = Annotated[dict[str, Setting], BeforeValidator(_settings)]
GridTable = Annotated[dict[str, tuple[Setting, ...]], BeforeValidator(_grid)]


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


class BaseTable(_Table):
    """A profile whose values all its cells begin with."""

    extends: str = Field(min_length=1, max_length=4096, description="Profile: packaged, or a file.")
    name: Name
    title: Words = Field("", description="In words, for tables and plots.")
    settings: SettingsTable = Field(default_factory=dict, alias="set")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, str):
            values = {"extends": values}
        if isinstance(values, Mapping) and isinstance(values.get("extends"), str):
            return {"name": Path(values["extends"]).stem, **values}
        return values


class VariantTable(_Table):
    """Changes that have a name."""

    name: Name
    title: Words = Field("", description="In words, for tables and plots.")
    group: Words = Field("", description="Variants of a group are drawn together.")
    settings: SettingsTable = Field(default_factory=dict, alias="set")
    only: tuple[str, ...] = Field((), description="Names of the bases it is for; empty: all.")
    test_steps: str | None = Field(None, description="Inner steps that are tested, if not test's.")


class BudgetTable(_Table):
    """The length of each training; empty: as the base profiles have it."""

    iterations: int | None = Field(None, ge=1, le=100_000_000, description="Meta-iterations.")
    minutes: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="Minutes of one core; each cell is timed before, alone on the machine.",
    )

    @model_validator(mode="after")
    def _one(self) -> BudgetTable:
        if self.iterations is not None and self.minutes is not None:
            raise ValueError("a budget is in iterations or in minutes, not in both")
        return self

    @property
    def is_set(self) -> bool:
        return self.iterations is not None or self.minutes is not None


class TestTable(_Table):
    """What is tested of each training; left out: as its profile has it."""

    __test__ = False

    steps: str | None = Field(None, description='Inner steps, such as "0..20" or "1,3,5,10".')
    episodes: int | None = Field(None, ge=2, le=10_000_000)


class StudyFile(_Table):
    """A study as its file says it."""

    description: Words = ""
    extends: tuple[BaseTable, ...] = Field(
        min_length=1, description="Base profiles: names, files, or tables with changes."
    )
    seeds: int | tuple[int, ...] = Field(1, description="How many, counted from 0, or which.")
    budget: BudgetTable = BudgetTable()
    settings: SettingsTable = Field(default_factory=dict, alias="set")
    grid: GridTable = Field(default_factory=dict)
    variant: tuple[VariantTable, ...] = ()
    test: TestTable = TestTable()

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("extends"), str | Mapping):
            return {**values, "extends": [values["extends"]]}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> StudyFile:
        names = [base.name for base in self.extends]
        if len(set(names)) < len(names):
            raise ValueError("two bases have the same name: give one of them another")
        for variant in self.variant:
            for name in variant.only:
                if name not in names:
                    raise ValueError(f"variant {variant.name} is only for {name}, which is no base")
        seeds = self.all_seeds
        if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise ValueError("seeds are a number of them, or different numbers from 0 on")
        return self

    @property
    def all_seeds(self) -> tuple[int, ...]:
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds
