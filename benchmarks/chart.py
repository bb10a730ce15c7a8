"""Time whole redraws of the chart with a long training behind it.

    python benchmarks/chart.py                       1,000,000 logged points
    python benchmarks/chart.py --points 100000 --rounds 50

A redraw is what happens when a training logs a step: a point is appended, the moving average
continued, limits, bins and dots computed, and the widget's lines rendered to strips: all of them,
or, as in the app, those that came out different. The chart shows the values, their average and a
validation curve of a point every 500 iterations.

textual-plot, where it is installed, draws the same lines and is given them already reduced to two
points a column, so that its time is that of drawing alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from textual.app import App, ComposeResult
from textual.widget import Widget

from mamltui.curves import Series, envelope
from mamltui.tui.shared.chart.chart import Chart, Curve, Reference

SIZES = ((60, 10), (110, 30), (150, 38))
SMOOTH = 0.99
VALIDATE_EVERY = 500


def training(points: int) -> tuple[Series, Series]:
    """Noisy accuracies that rise and level off, and their validation."""
    generator = np.random.default_rng(0)
    x = np.arange(points)
    course = 0.965 - 0.7 * np.exp(-8 * x / points)
    values = np.clip(course + generator.normal(0, 0.04, points), 0, 1)
    every = slice(None, None, VALIDATE_EVERY)
    return Series(x, values), Series(x[every], course[every] - 0.01)


class OneWidget(App[None]):
    """An app that shows a single widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def milliseconds(redraw: Callable[[], None], rounds: int) -> list[float]:
    """The time of each of ``rounds`` redraws, after a few that warm up."""
    for _ in range(5):
        redraw()
    gc.collect()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        redraw()
        times.append(1e3 * (time.perf_counter() - start))
    return times


async def own_chart(
    size: tuple[int, int], points: int, rounds: int, *, everything: bool
) -> list[float]:
    values, validation = training(points)
    chart = Chart(title="query accuracy %", percent=True)
    generator = np.random.default_rng(1)

    def redraw() -> None:
        values.append(len(values), generator.uniform(0.9, 1.0))
        if everything:
            chart.refresh()
        chart.show(
            [
                Curve("training", values, "accent", smooth=SMOOTH),
                Curve("validation", validation, "second", marks=True),
            ],
            references=[Reference("published 98.7", 0.987, 0.983, 0.991)],
        )
        strips = chart.render_lines(chart.size.region)
        assert len(strips) == size[1] and strips[0].cell_length == size[0]

    async with OneWidget(chart).run_test(size=size) as pilot:
        await pilot.pause()
        return milliseconds(redraw, rounds)


async def textual_plot(size: tuple[int, int], points: int, rounds: int) -> list[float] | None:
    try:
        from textual_plot import HiResMode, PlotWidget
    except ImportError:
        return None
    values, validation = training(points)
    lines = []
    for x, y in (
        (values.x, values.y),
        (values.x, values.smoothed(SMOOTH)),
        (validation.x, validation.y),
    ):
        column, low, high = envelope(x, y, 0, points, size[0])
        lines.append((np.repeat(column, 2).astype(float), np.stack([low, high], 1).ravel()))
    plot = PlotWidget()

    def redraw() -> None:
        plot.clear()
        for (x, y), colour in zip(lines, ("grey50", "cyan", "white"), strict=True):
            plot.plot(x, y, hires_mode=HiResMode.BRAILLE, line_style=colour)
        plot._render_plot()
        for part in plot.children:
            part.render_lines(part.size.region)

    async with OneWidget(plot).run_test(size=size) as pilot:
        await pilot.pause()
        return milliseconds(redraw, rounds)


def installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def quantiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000, help="logged training points")
    parser.add_argument("--rounds", type=int, default=100, help="redraws to time")
    asked = parser.parse_args()

    values, _ = training(asked.points)
    start = time.perf_counter()
    values.smoothed(SMOOTH)
    first = 1e3 * (time.perf_counter() - start)

    packages = ", ".join(map(installed, ("numpy", "textual", "textual-plot")))
    print(f"Python {platform.python_version()}, {packages}")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"{asked.points:,} points, {asked.rounds} redraws; first average {first:.0f} ms\n")
    print(f"{'':8}  {'all lines':>16}  {'changed lines':>16}  {'textual-plot':>16}")
    print(f"{'cells':8}" + 3 * f"  {'ms':>8}  {'p95':>6}" + "  ratio to all lines")
    for width, height in SIZES:
        size, job = (width, height), (asked.points, asked.rounds)
        timed = [
            asyncio.run(own_chart(size, *job, everything=True)),
            asyncio.run(own_chart(size, *job, everything=False)),
            asyncio.run(textual_plot(size, *job)),
        ]
        found = [quantiles(times) for times in timed if times]
        row = "".join(f"  {median:8.2f}  {p95:6.2f}" for median, p95 in found)
        if len(found) == 3:
            row += f"  {found[2][0] / found[0][0]:5.1f}"
        print(f"{width:>4}x{height:<3}{row}", flush=True)


if __name__ == "__main__":
    main()
