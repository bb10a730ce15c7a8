"""Plots as SVG and PNG, readable in black and white: lines differ in dashes and marks as well."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from mamltui.studies.document import Picture
from mamltui.studies.example import Example

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arguments = ParamSpec("Arguments")
COLOURS = ("#000000", "#0063b1", "#c04a00", "#5c7c00", "#8a3ffc", "#7a7a7a", "#b1006a", "#008573")
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "solid",
    "dashed",
    "dashdot",
    "dotted",
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 3)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1)),
)
MARKS = "os^DvPX*"
LINES = len(COLOURS)
"""That can be told apart in one plot."""
SHOWN_CLASSES, SHOWN_IMAGES = 5, 5
"""Of an episode; more would be too small to see."""
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass(frozen=True)
class Line:
    """What is drawn as one line: the mean over seeds, with a band where there are several."""

    label: str
    runs: tuple[tuple[Sequence[float], Sequence[float]], ...]
    """x and y of each seed."""
    published_beside: int | None = None
    """Published values are drawn hollow and unconnected, beside the line of this index."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    marks: bool = False
    """Mark every point."""


@dataclass(frozen=True)
class Dot:
    """A mean with the half width of its interval; NaN where there is none."""

    label: str
    value: float
    half_width: float
    is_ours: bool


def _styled(draw: Callable[Arguments, Picture]) -> Callable[Arguments, Picture]:
    """Draw in ``STYLE``, whatever the user's own style is."""

    @wraps(draw)
    def styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Picture:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return styled


@_styled
def curves(name: str, alt: str, panels: Sequence[Panel]) -> Picture:
    """Panels side by side, with one legend below them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for one, panel in zip(axes, panels, strict=True):
        for index, line in enumerate(panel.lines):
            _draw(one, line, index, panel.marks)
        if panel.marks:
            _leave_chance_out(one, panel.lines)
        one.set_title(panel.title, fontsize=9)
        one.set_xlabel(panel.x)
        one.set_ylabel(panel.y)
    _add_legend(figure, axes[0], 2 * len(panels))
    return _picture(name, alt, figure)


def _add_legend(figure: Figure, axes: Axes, most: int) -> None:
    """Below the panels, in as many columns as fit, at most ``most``."""
    handles, labels = axes.get_legend_handles_labels()
    for columns in range(min(len(labels), most), 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        figure.draw_without_rendering()  # which measures the words
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


@_styled
def dots(name: str, alt: str, rows: Sequence[Dot], x: str) -> Picture:
    """Intervals one below the other: ours filled, published ones hollow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.6 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for index, row in enumerate(rows):
        axes.errorbar(
            row.value,
            -index,
            xerr=None if math.isnan(row.half_width) else row.half_width,
            fmt="o" if row.is_ours else "D",
            color="black" if row.is_ours else "#666666",
            markerfacecolor="black" if row.is_ours else "white",
            markersize=5,
            capsize=3,
            linewidth=1.2,
        )
    axes.set_yticks([-index for index in range(len(rows))], [row.label for row in rows])
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_xlabel(x)
    axes.grid(axis="y", visible=False)
    return _picture(name, alt, figure)


@_styled
def heat_map(
    name: str,
    alt: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    x: str,
) -> Picture:
    """A grid of percentages, each written in its cell; darker is more.

    Args:
        values: ``[rows, columns]``, NaN where there is none.
    """
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(2.6 + 0.55 * len(columns), 1.1 + 0.34 * len(rows)), layout="constrained"
    )
    axes = figure.subplots()
    grid = np.array(values, dtype=float)
    finite = grid[np.isfinite(grid)]
    # A column before adaptation, at chance, must not take all shades for itself.
    low, high = (float(each) for each in np.quantile(finite, (0.2, 1))) if finite.size else (0, 1)
    axes.imshow(grid, cmap="Greys", vmin=low, vmax=high + 0.4 * (high - low or 1), aspect="auto")
    for row, line in enumerate(grid):
        for column, value in enumerate(line):
            if math.isfinite(value):
                is_dark = value - low > 0.8 * (high - low) and high > low
                axes.text(
                    column,
                    row,
                    f"{value:.1f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if is_dark else "black",
                )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel(x)
    axes.grid(visible=False)
    return _picture(name, alt, figure)


@_styled
def episode(name: str, alt: str, example: Example) -> Picture:
    """An episode: a row a class, its support images, then its queries with what was answered."""
    from matplotlib.figure import Figure

    classes = min(len(example.query), SHOWN_CLASSES)
    shots = min(example.support.shape[1], SHOWN_IMAGES)
    queries = min(example.query.shape[1], SHOWN_IMAGES)
    figure = Figure(figsize=(1.2 * (shots + queries) + 0.6, 1.25 * classes), layout="constrained")
    grid = figure.subplots(classes, shots + queries, squeeze=False)
    for label in range(classes):
        for index in range(shots):
            _image(grid[label][index], example.support[label, index])
            grid[label][index].set_xlabel("support", fontsize=7)
        grid[label][0].set_ylabel(f"class {label + 1}", fontsize=8)
        for index in range(queries):
            axes, answers = grid[label][shots + index], example.answers[label, index]
            _image(axes, example.query[label, index])
            answer = int(answers.argmax())
            words = "right" if answer == label else f"WRONG: class {answer + 1}"
            axes.set_xlabel(f"{words}, {100 * answers[answer]:.0f} %", fontsize=7)
    return _picture(name, alt, figure)


def _image(axes: Axes, pixels: np.ndarray) -> None:
    """Ink on paper for characters, colours as they are."""
    if len(pixels) == 1:
        axes.imshow(pixels[0], cmap="Greys", vmin=0, vmax=1)
    else:
        axes.imshow(np.clip(pixels.transpose(1, 2, 0), 0, 1))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def _leave_chance_out(axes: Axes, lines: Sequence[Line]) -> None:
    """Scale by what is after the first inner step: before it, all are at chance."""
    from matplotlib.ticker import MaxNLocator

    adapted = [
        y for line in lines for xs, ys in line.runs for x, y in zip(xs, ys, strict=True) if x >= 1
    ]
    if adapted:
        axes.set_xlim(left=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = min(adapted), max(adapted)
        axes.set_ylim(low - 0.15 * (high - low or 1), high + 0.1 * (high - low or 1))


def _draw(axes: Axes, line: Line, index: int, marks: bool) -> None:
    runs = [run for run in line.runs if len(run[0])]
    if not runs:
        axes.plot([], [], label=line.label, color=COLOURS[index % LINES])
        return
    x, mean, low, high = _band(runs)
    if line.published_beside is not None:
        style = line.published_beside % LINES
        axes.plot(
            x,
            mean,
            label=line.label,
            color=COLOURS[style],
            linestyle="none",
            marker=MARKS[style],
            markerfacecolor="white",
            markersize=6,
        )
        return
    style = index % LINES
    axes.plot(
        x,
        mean,
        label=line.label,
        color=COLOURS[style],
        linestyle=DASHES[style],
        linewidth=1.5,
        marker=MARKS[style],
        markersize=3.5,
        markevery=1 if marks else (index * max(1, len(x) // 20), max(1, len(x) // 6)),
    )
    if len(runs) > 1:
        axes.fill_between(x, low, high, color=COLOURS[style], alpha=0.15, linewidth=0)


def _band(
    runs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The mean over seeds, and their range, on the points of the longest; seeds may be shorter."""
    longest = max(runs, key=lambda run: len(run[0]))
    x = np.asarray(longest[0], dtype=float)
    rows = []
    for own_x, own_y in runs:
        positions, heights = np.asarray(own_x, dtype=float), np.asarray(own_y, dtype=float)
        rows.append(np.interp(x, positions, heights, left=np.nan, right=np.nan))
    grid = np.array(rows)
    known = np.isfinite(grid).any(axis=0)
    grid, x = grid[:, known], x[known]
    return x, np.nanmean(grid, axis=0), np.nanmin(grid, axis=0), np.nanmax(grid, axis=0)


def _picture(name: str, alt: str, figure: Figure) -> Picture:
    import matplotlib

    svg, png = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return Picture(name, alt, svg.getvalue(), png.getvalue())
