"""Choosing runs by what they are: ``test>95 state:failed way=20 seed=3 tag:paper words``."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from mamltui.errors import UsageError
from mamltui.profiles import Key, Profile, keys_of
from mamltui.runs.listing import ListedRun
from mamltui.score import ACCURACY, SQUARED_ERROR, Metric, Score

Value = float | str | None
"""Of a run; None: not known, and no comparison holds."""

_TERM = re.compile(r"^([A-Za-z][\w.-]*)(>=|<=|!=|=|>|<|:)(.*)$", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _yes_no(holds: bool) -> str:
    return "yes" if holds else "no"


def _best(metric: Metric) -> Callable[[ListedRun], Value]:
    """The best validation where the run's scores are of ``metric``, in the unit of people."""

    def value(run: ListedRun) -> Value:
        return _in(metric, run.info.best.score if run.info and run.info.best else None)

    return value


def _test(metric: Metric) -> Callable[[ListedRun], Value]:
    """Likewise the test."""

    def value(run: ListedRun) -> Value:
        return _in(metric, run.headline.headline().score if run.headline else None)

    return value


def _in(metric: Metric, score: Score | None) -> Value:
    return None if score is None or score.metric != metric else metric.factor * score.value


FIELDS: dict[str, Callable[[ListedRun], Value]] = {
    "name": lambda run: run.name,
    "state": lambda run: run.state,
    "test": _test(ACCURACY),
    "valid": _best(ACCURACY),
    "test_error": _test(SQUARED_ERROR),
    "valid_error": _best(SQUARED_ERROR),
    "done": lambda run: _percent(run.share if run.info else None),
    "iteration": lambda run: run.info.iteration if run.info else None,
    "elapsed": lambda run: run.info.elapsed if run.info else None,
    "created": lambda run: run.info.created if run.info else None,
    "host": lambda run: run.info.host if run.info else None,
    "device": lambda run: run.info.device if run.info else None,
    "tag": lambda run: " ".join(run.info.tags) if run.info else None,
    "profile": lambda run: run.info.profile if run.info else None,
    "title": lambda run: run.title,
    "notes": lambda run: run.info.notes if run.info else None,
    "starred": lambda run: _yes_no(run.is_starred),
    "archived": lambda run: _yes_no(run.is_archived),
}
"""What a run is asked for besides the keys of its profile; ``test`` and ``valid`` are
accuracies in percent, ``test_error`` and ``valid_error`` the mean squared errors of regressions."""

SHORT = {"steps": "inner.steps", "query": "task.query", "data": "data.set"}
"""Names that several keys of a profile bear, and which one is meant."""


@dataclass(frozen=True)
class Term:
    """One condition: ``field`` compared with ``text``."""

    field: str
    sign: str
    text: str

    def holds(self, run: ListedRun) -> bool:
        """Whether the run fulfils it."""
        value = value_of(run, self.field)
        if value is None:
            return False
        number = _number(self.text)
        if self.field == "tag":
            tags = str(value).casefold().split()
            asked = self.text.casefold()
            is_match = any(asked in tag for tag in tags) if self.sign == ":" else asked in tags
            return is_match != (self.sign == "!=")
        if isinstance(value, str):
            mine, asked = value.casefold(), self.text.casefold()
            if self.sign in _ORDERS:
                order = (mine > asked) - (mine < asked)
                return _ORDERS[self.sign](order, 0)
            is_match = asked in mine if self.sign == ":" else asked == mine
            return is_match != (self.sign == "!=")
        if number is None:
            return self.sign == "!="
        if self.sign in _ORDERS:
            return _ORDERS[self.sign](value, number)
        return (value == number) != (self.sign == "!=")


@dataclass(frozen=True)
class Query:
    """Conditions that all have to hold, and words that are all to be found in what is known."""

    terms: tuple[Term, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read a query.

        Raises:
            UsageError: a field is not known, or a comparison lacks its number.
        """
        try:
            parts = shlex.split(text)
        except ValueError:  # a quotation mark that is not closed yet
            parts = text.split()
        terms, words = [], []
        for part in parts:
            match = _TERM.match(part)
            if match is None:
                words.append(part.casefold())
                continue
            field, sign, value = match.groups()
            _check_field(field)
            if sign in _ORDERS and not value:
                raise UsageError(
                    f"{field}{sign} needs a value",
                    where=f"the query {text!r}",
                    hint=f"Such as {field}{sign}95.",
                )
            terms.append(Term(field, sign, value))
        return cls(tuple(terms), tuple(words))

    def matches(self, run: ListedRun) -> bool:
        """Whether all conditions hold and all words are found.

        Of archived runs only if one of the conditions asks about that: ``archived=yes``.
        """
        if run.is_archived and not any(term.field == "archived" for term in self.terms):
            return False
        return all(term.holds(run) for term in self.terms) and (
            not self.words or all(word in _about(run) for word in self.words)
        )


def sorted_by(runs: Iterable[ListedRun], field: str) -> list[ListedRun]:
    """The runs by a field, ascending, or descending with ``-`` before it; the unknown last.

    Raises:
        UsageError: there is no such field.
    """
    name = field.removeprefix("-")
    _check_field(name)
    values = [(run, value_of(run, name)) for run in runs]
    known = [(run, value) for run, value in values if value is not None]
    known.sort(key=lambda pair: _order(pair[1]), reverse=field.startswith("-"))
    return [run for run, _ in known] + [run for run, value in values if value is None]


def _order(value: float | str) -> tuple[float, str]:
    return (value, "") if isinstance(value, float | int) else (0.0, value.casefold())


def value_of(run: ListedRun, field: str) -> Value:
    """What a run says of a field: one of ``FIELDS`` or a key of its profile; None: not known.

    Raises:
        UsageError: there is no such field.
    """
    if field in FIELDS:
        return FIELDS[field](run)
    key, profile = _check_field(field), run.profile
    if key is None or profile is None:
        return None
    value = getattr(getattr(profile, key.section) if key.section else profile, key.name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return float(value) if isinstance(value, int | float) else str(value)


def _check_field(field: str) -> Key | None:
    """The key of a profile that is meant; None: one of ``FIELDS``."""
    if field in FIELDS:
        return None
    keys = _profile_keys()
    path = SHORT.get(field, field)
    if path in keys:
        return keys[path]
    near = get_close_matches(field, [*FIELDS, *keys], n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Such as: {', '.join(FIELDS)}, way."
    raise UsageError(f"runs have no {field!r}", where="the query", hint=hint)


@cache
def _profile_keys() -> dict[str, Key]:
    """The keys by their paths, and by their names where only one key has that name."""
    keys = {key.path: key for key in keys_of(Profile)}
    names = [key.name for key in keys.values()]
    return {key.name: key for key in keys.values() if names.count(key.name) == 1} | keys


def _number(text: str) -> float | None:
    try:
        return float(text.removesuffix("%").replace(",", ""))
    except ValueError:
        return None


def _about(run: ListedRun) -> str:
    """All words by which a run is found, in lower case."""
    profile = run.profile
    parts = [run.name, run.what, run.damage]
    if run.info is not None:
        parts += [run.info.profile, *run.info.tags, run.info.title, run.info.notes]
    if profile is not None:
        parts += [profile.data.set, profile.shape, profile.algorithm]
    return " ".join(parts).casefold()
