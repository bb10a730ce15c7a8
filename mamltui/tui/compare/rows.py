"""What is told of runs that are compared: in the list, and side by side in the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from mamltui.measures import duration
from mamltui.profiles import Difference, Profile, differences
from mamltui.results import (
    RunDifference,
    StepResult,
    compare_runs,
    p_text,
    score_cell,
    unpaired_reason,
)
from mamltui.results.evaluation import OTHER_PROTOCOL
from mamltui.runs import ListedRun
from mamltui.score import ACCURACY, Metric, Score
from mamltui.statistics import holm, paired_difference
from mamltui.text import visible
from mamltui.tui.compare.column_table import Cell, TableRow
from mamltui.tui.compare.comparison import Compared
from mamltui.tui.compare.seeds import Seeds, interval_text
from mamltui.tui.shared.chart.content import MARKS
from mamltui.tui.shared.row_list import Column, Row, Tone

UNKNOWN = Cell("-", "muted")
SAME = Cell("same", "muted")
STATE_INKS = {
    "training": "success",
    "finished": "success",
    "damaged": "error",
    "failed": "error",
    "diverged": "error",
}
STATE_TONES: dict[str, Tone] = {"success": "good", "error": "bad", "warning": "warn"}
COLUMNS = (
    Column("curve", 5, 1),
    Column("differs in", 20, 3, optional=True),
    Column("state", 11, 4, least_name=20),
    Column("valid.", 9, 2, right=True),
)
LOOKS = len(MARKS)
"""Colours, dashes and marks; further runs begin with the first again."""
INKS = ("accent", "", "success", "warning", "error", "muted")
"""Of the letters: the colours that the chart draws its curves in."""
TONES: tuple[Tone, ...] = ("accent", "plain", "good", "warn", "bad", "muted")
"""The same as the list calls them."""


def sign(run: Compared) -> str:
    """The letter of a run and the mark of its curve."""
    return f"{run.letter} {MARKS[run.slot % LOOKS]}"


def one_line(text: str) -> str:
    """A text of several lines in one."""
    return " ".join(text.split())


def list_row(listed: ListedRun, run: Compared | None, differs: str) -> Row:
    """A row of the list, with ``COLUMNS``; ``run`` is there if it is chosen.

    Args:
        differs: what tells the run from others of its profile.
    """
    name = visible(listed.title)
    if run is None and listed.info is None:
        return Row(listed.name, name, note=visible(one_line(listed.damage)))
    known = run or Compared(listed, 0)
    best = None if known.best is None else Score(known.metric, known.best)
    ink = STATE_INKS.get(known.state, "warning")
    cells: tuple[tuple[str, Tone], ...] = (
        (sign(run), TONES[run.slot % LOOKS]) if run else ("", "plain"),
        (visible(differs), "accent"),
        (known.state, STATE_TONES[ink] if run else "muted"),
        ("-" if best is None else best.named, "plain"),
    )
    order = (
        name,
        run.letter if run else None,
        differs or None,
        known.state,
        None if best is None else best.order,
    )
    return Row(listed.name, name, cells, marked=run is not None, order=order)


def table_rows(runs: Sequence[Compared], *, to_baseline: bool) -> list[TableRow]:
    """A row for each result, then one for each key of the profiles that differs.

    Args:
        runs: the baseline first, if there is one.
        to_baseline: of the others tell the difference to the first.
    """
    if not runs:
        return []
    cells = _Cells(runs, to_baseline)
    metrics = _metrics(runs)
    rows = [
        TableRow("state", [Cell(run.state, STATE_INKS.get(run.state, "warning")) for run in runs]),
        cells.row("iterations", lambda run: run.iteration, "{:,}".format, _whole),
        *(cells.best(f"best validation{_unit(metric)}", metric) for metric in metrics),
        *(cells.tests(f"test{_unit(metric)}", metric) for metric in metrics),
        *cells.departures(f"{OTHER_PROTOCOL} other than profile"),
        *cells.pairs(),
        cells.row("time", lambda run: run.elapsed, duration, _longer),
    ]
    return [*rows, *_profile_rows(runs, to_baseline)]


def seeds_rows(columns: Sequence[Seeds], *, to_baseline: bool) -> list[TableRow]:
    """The same for runs taken together by their seeds: means with their 95% intervals.

    A difference to the first is that of the same seeds, pair by pair, where they share two.
    """
    if not columns:
        return []

    def row(label: str, text_of: Callable[[Seeds], str]) -> TableRow:
        return TableRow(
            label, [Cell(text) if (text := text_of(each)) else UNKNOWN for each in columns]
        )

    def validated(each: Seeds, metric: Metric) -> str:
        if each.first.metric != metric:
            return ""
        return interval_text(each.interval([run.best for run in each.runs]), metric)

    def tested(each: Seeds, metric: Metric) -> str:
        if each.first.metric != metric:
            return ""
        first = columns[0].tests if columns[0].first.metric == metric else {}
        shared = sorted(first.keys() & each.tests.keys())
        if each is columns[0] or not to_baseline or len(shared) < 2:
            return interval_text(each.interval(list(each.tests.values())), metric)
        pairs = paired_difference(
            [first[seed] for seed in shared],
            [each.tests[seed] for seed in shared],
            "training seeds",
        )
        width = metric.number(pairs.interval.half_width)
        return f"{_signed(pairs.difference, metric)} ± {width}"

    def spread(each: Seeds) -> str:
        scores, metric = list(each.tests.values()), each.first.metric
        if len(scores) < 2:
            return ""
        return f"{metric.number(min(scores))} to {metric.number(max(scores))}"

    metrics = _metrics([each.first for each in columns])

    rows = [
        row("seeds", lambda each: each.group.words),
        TableRow(
            "state", [Cell(each.state, STATE_INKS.get(each.state, "warning")) for each in columns]
        ),
        *(
            row(f"best validation{_unit(each)}", partial(validated, metric=each))
            for each in metrics
        ),
        *(row(f"test{_unit(each)}", partial(tested, metric=each)) for each in metrics),
        row("test, lowest to highest", spread),
        row("time", lambda each: duration(sum(run.elapsed or 0.0 for run in each.runs))),
    ]
    firsts = [each.first for each in columns]
    return [*rows, *(row for row in _profile_rows(firsts, to_baseline) if row.label != "meta.seed")]


def _metrics(runs: Sequence[Compared]) -> list[Metric]:
    """What the scores of the runs are: an accuracy and an error never share a row."""
    return list(dict.fromkeys(run.metric for run in runs))


def _unit(metric: Metric) -> str:
    """Behind the name of a row."""
    return f" {metric.short}" if metric.is_error else metric.unit


def _whole(difference: float) -> str:
    return f"{difference:+,.0f}" if difference else "same"


def _signed(difference: float, metric: Metric) -> str:
    """A difference of scores as people read it: in points, or in the unit of the error."""
    decimals = metric.decimals
    return f"{round(metric.factor * difference, decimals) + 0.0:+.{decimals}f}"


def _longer(seconds: float) -> str:
    return f"{'-' if round(seconds) < 0 else '+'}{duration(abs(seconds))}"


class _Cells:
    """Cells of one row: values, or differences to the first."""

    def __init__(self, runs: Sequence[Compared], to_baseline: bool) -> None:
        self._runs = runs
        self._to_baseline = to_baseline
        self._paired: list[RunDifference | None] = [
            _compared(runs[0], run) if to_baseline and index else None
            for index, run in enumerate(runs)
        ]
        """The test beside the first run's, where both were tested on the same episodes."""

    def row(
        self,
        label: str,
        value_of: Callable[[Compared], float | None],
        shown: Callable[[float], str],
        difference: Callable[[float], str],
    ) -> TableRow:
        """A row of numbers, some of which may not be known."""
        values = [value_of(run) for run in self._runs]
        first = values[0]
        cells = []
        for index, value in enumerate(values):
            if value is None:
                cells.append(UNKNOWN)
            elif index == 0 or not self._to_baseline:
                cells.append(Cell(shown(value)))
            elif first is None:
                cells.append(UNKNOWN)
            else:
                cells.append(_difference_cell(difference(value - first)))
        return TableRow(label, cells)

    def best(self, label: str, metric: Metric) -> TableRow:
        """A row of the best validations of the runs whose scores are of ``metric``."""
        first = self._runs[0]
        cells = []
        for index, run in enumerate(self._runs):
            if run.best is None or run.metric != metric:
                cells.append(UNKNOWN)
            elif index == 0 or not self._to_baseline or first.metric != metric:
                cells.append(Cell(metric.number(run.best)))
            elif first.best is None:
                cells.append(UNKNOWN)
            else:
                cells.append(_difference_cell(_signed(run.best - first.best, metric)))
        return TableRow(label, cells)

    def tests(self, label: str, metric: Metric) -> TableRow:
        """A row of test scores with their 95% intervals, of runs whose scores are of ``metric``.

        One that was not measured as its profile says is marked, and neither it is compared with the
        first nor any with it.
        """
        first = self._runs[0]
        cells = []
        for index, run in enumerate(self._runs):
            result = run.test
            if result is None or run.metric != metric:
                cells.append(UNKNOWN)
            elif run.departures:
                cells.append(Cell(f"{score_cell(result)} {OTHER_PROTOCOL}", "warning"))
            elif index == 0 or not self._to_baseline or first.departures or first.metric != metric:
                cells.append(Cell(score_cell(result)))
            elif first.test is None:
                cells.append(UNKNOWN)
            else:
                paired = self._paired[index]
                text = _in_pairs(paired) if paired else _test_difference(result, first.test)
                cells.append(_difference_cell(text))
        return TableRow(label, cells)

    def departures(self, label: str) -> list[TableRow]:
        """A row of what was measured otherwise than the profiles say, if anything was."""
        if not any(run.departures for run in self._runs):
            return []
        return [TableRow(label, [Cell(run.departures, "warning") for run in self._runs])]

    def pairs(self) -> list[TableRow]:
        """Of the runs tested on the same episodes as the first, what follows pair by pair."""
        compared = [each for each in self._paired if each is not None]
        if not compared:
            return []
        adjusted = iter(holm([each.episodes.p_value for each in compared]))
        better, p_values = [Cell("")], [Cell("")]
        for each in self._paired[1:]:
            if each is None:
                better.append(UNKNOWN)
                p_values.append(UNKNOWN)
            else:
                better.append(Cell(f"{100 * each.episodes.improvement:.0f} % of episodes"))
                p_values.append(Cell(p_text(next(adjusted))))
        return [TableRow("test: better on", better), TableRow("test: Holm's p", p_values)]


def _difference_cell(text: str) -> Cell:
    return SAME if text == SAME.text else Cell(text, "accent")


def _compared(first: Compared, other: Compared) -> RunDifference | None:
    ours, theirs = first.evaluation, other.evaluation
    if ours is None or theirs is None or first.departures or other.departures:
        return None
    return None if unpaired_reason(ours, theirs) else compare_runs(ours, theirs)


def _in_pairs(difference: RunDifference) -> str:
    """In points, with its 95% interval over the episodes that both runs met."""
    interval = difference.episodes.interval
    return f"{_signed(interval.mean, ACCURACY)} ± {ACCURACY.number(interval.half_width)}"


def _test_difference(result: StepResult, first: StepResult) -> str:
    """With its 95% interval as of different episodes."""
    ours, theirs = result.score, first.score
    width = ours.metric.number(math.hypot(ours.ci95, theirs.ci95))
    return f"{_signed(ours.value - theirs.value, ours.metric)} ± {width}"


def _profile_rows(runs: Sequence[Compared], to_baseline: bool) -> list[TableRow]:
    """Of the runs whose profile can be read; of the others it is not known."""
    profiles = {run.name: run.profile for run in runs if run.profile is not None}
    index_of = {name: index for index, name in enumerate(profiles)}
    rows = []
    for difference in _differences(tuple(profiles.values())):
        cells = [
            Cell(visible(difference.values[index_of[run.name]]))
            if run.name in index_of
            else UNKNOWN
            for run in runs
        ]
        if to_baseline:
            cells[1:] = [SAME if cell == cells[0] else cell for cell in cells[1:]]
        rows.append(TableRow(difference.key, cells))
    if not rows and len(profiles) > 1:
        rows.append(TableRow("profile", [SAME] * len(runs)))
    return rows


@lru_cache(maxsize=8)
def _differences(profiles: tuple[Profile, ...]) -> list[Difference]:
    """Looked for once, not at every redraw."""
    return [each for each in differences(profiles) if each.key != "description"]
