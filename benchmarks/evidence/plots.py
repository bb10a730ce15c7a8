"""The plots of the page: small ones side by side, each with plain MAML in grey."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.summary import Row, base_of, rows
from evidence.variants import SETTINGS

INK = "#7d8590"
"""Text and axes: readable on white and on black, as the lines' colours are."""
GREY, BLUE, ORANGE, GREEN = "#9aa0a6", "#3584e4", "#e66100", "#2ea043"
COLUMNS = 4
PANEL = (2.3, 1.75)
"""Inches."""
TICKS = (20, 50, 70, 80, 90, 95, 98, 99, 99.5)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mamltui",
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 8,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}
Curve = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""x, and y of one seed."""


def write_plots(figures: dict[str, Any], docs: Path) -> None:
    """Write all plots as SVG into ``docs``, the same bytes for the same figures."""
    docs.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, figure in all_plots(figures).items():
            figure.savefig(docs / f"{name}.svg", transparent=True, metadata={"Date": None})


def all_plots(figures: dict[str, Any]) -> dict[str, Figure]:
    """Those that there are figures for, by their names."""
    plots = {}
    minutes = figures["plan"]["minutes"]
    for setting in SETTINGS:
        found = rows(figures, setting.name)
        if not found:
            continue
        stem = f"ablation-{setting.name}"
        plots[f"{stem}-minutes"] = _panels(found, _validation(1), f"minutes of {minutes:g}")
        plots[f"{stem}-iterations"] = _panels(found, _validation(0), "iterations")
        plots[f"{stem}-steps"] = _panels(found, _by_step, "inner steps", dots=True)
    compared = {
        setting.title: rows(figures, setting.name, ["scale"])
        for setting in SETTINGS
        if len(rows(figures, setting.name, ["scale"])) > 1
    }
    if compared:
        plots["ablation-scale"] = _scale(compared)
    twenty = next(setting.name for setting in SETTINGS if setting.way == 20)
    remedies = rows(figures, twenty, ["remedies"])
    if len(remedies) > 1:
        plots["ablation-remedies"] = _remedies(remedies)
    return plots


def _validation(x: int) -> Callable[[Row], list[Curve]]:
    """Curves of validation accuracy over iterations (0) or minutes (1)."""

    def curves(row: Row) -> list[Curve]:
        return [
            (np.array([point[x] for point in run["validation"]]), _column(run["validation"], 2))
            for run in row.tested or row.runs
            if run.get("validation")
        ]

    return curves


def _by_step(row: Row) -> list[Curve]:
    """Curves of test accuracy over inner steps."""
    return [
        (
            np.array([int(steps) for steps in run["test"]["transductive"]]),
            np.array([accuracy for accuracy, _ in run["test"]["transductive"].values()]),
        )
        for run in row.tested
    ]


def _column(points: Sequence[Sequence[float]], index: int) -> np.ndarray[Any, Any]:
    return np.array([point[index] for point in points])


def _spread(accuracy: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Percent -> height: each halving of the errors is as much as the one before."""
    return -np.log10(np.clip(100.05 - accuracy, 0.05, None))


def _axes(count: int, columns: int = COLUMNS) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    lines = math.ceil(count / columns)
    figure = Figure(
        figsize=(max(PANEL[0] * columns, 4.6), PANEL[1] * lines + 0.25), layout="constrained"
    )
    every = figure.subplots(lines, columns, sharex=False, sharey=True, squeeze=False).ravel()
    for axes in every[count:]:
        axes.set_visible(False)
    return figure, list(every[:count])


def _scale_of(axes: Sequence[Axes], lowest: float, highest: float) -> None:
    """Accuracy ticks from ``lowest`` to ``highest`` percent."""
    ticks = [tick for tick in TICKS if lowest <= tick <= highest + 1]
    for one in axes:
        one.set_yticks(_spread(np.array(ticks)), [f"{tick:g} %" for tick in ticks])
        one.grid(axis="y", color=INK, alpha=0.2, linewidth=0.5)
        one.tick_params(length=2, width=0.6)
    low, high = _spread(np.array([lowest, highest]))
    axes[0].set_ylim(low - 0.05, high + 0.08)


def _draw(axes: Axes, curves: list[Curve], colour: str, **more: Any) -> None:
    """The mean over the seeds, and their range."""
    if not curves:
        return
    count = min(len(x) for x, _ in curves)
    x = curves[0][0][:count]
    heights = np.stack([_spread(y[:count]) for _, y in curves])
    axes.plot(x, heights.mean(axis=0), color=colour, linewidth=1.3, **more)
    if len(curves) > 1:
        low, high = heights.min(axis=0), heights.max(axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)


def _panels(
    found: Sequence[Row], curves: Callable[[Row], list[Curve]], label: str, dots: bool = False
) -> Figure:
    """A panel for each row but the base, which is grey in all."""
    base = base_of(found)
    others = [row for row in found if row is not base] or list(found)
    figure, panels = _axes(len(others))
    for axes, row in zip(panels, others, strict=True):
        if base is not None:
            _draw(axes, curves(base), GREY)
        if not curves(row):
            axes.text(0.5, 0.5, "lost", transform=axes.transAxes, ha="center")
        _draw(axes, curves(row), BLUE)
        if dots and row.tested:
            at = row.tested[0]["test_steps"]
            axes.plot(at, _spread(np.array(row.accuracy)), "o", color=BLUE, markersize=3)
        axes.set_title(_title(row))
    _scale_of(panels, *_limits([y for row in found for _, y in curves(row)]))
    figure.supxlabel(label, fontsize=8)
    return figure


def _title(row: Row) -> str:
    return textwrap.fill(row.case.variant.text.removeprefix("+ "), 32)


def _limits(curves: Sequence[np.ndarray[Any, Any]]) -> tuple[float, float]:
    values = np.concatenate([curve for curve in curves if len(curve)] or [np.array([0, 100])])
    # The first steps from guessing are of no interest, and would squeeze the rest.
    return max(float(np.quantile(values, 0.05)), 5.0), float(values.max())


def _scale(compared: dict[str, list[Row]]) -> Figure:
    figure, panels = _axes(len(compared), 2)
    every = []
    for axes, (title, members) in zip(panels, compared.items(), strict=True):
        for row, colour in zip(members, (GREY, BLUE, ORANGE, GREEN), strict=False):
            curves = _validation(1)(row)
            every += [y for _, y in curves]
            alpha, scale = row.inner_step
            _draw(axes, curves, colour, label=f"alpha {alpha:g}, {scale}")
        axes.set_title(title)
        axes.legend(fontsize=6, loc="lower right")
    _scale_of(panels, *_limits(every))
    figure.set_size_inches(4 * len(panels), 2.8)
    figure.supxlabel("minutes", fontsize=8)
    return figure


def _remedies(members: Sequence[Row]) -> Figure:
    figure, panels = _axes(len(members), 3)
    every = []
    for axes, row in zip(panels, members, strict=True):
        training = [
            (_column(run["training"], 1), _column(run["training"], 2))
            for run in row.tested or row.runs
            if run.get("training")
        ]
        every += [y for _, y in training]
        _draw(axes, training, ORANGE, label="training")
        _draw(axes, _validation(1)(row), BLUE, label="validation")
        axes.set_title(_title(row))
    panels[0].legend(fontsize=6, loc="lower right")
    _scale_of(panels, *_limits(every))
    figure.supxlabel("minutes", fontsize=8)
    return figure
