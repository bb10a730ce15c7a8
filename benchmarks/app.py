"""Measure the app where it must stay quick, in a real terminal (a pty of 120 by 36).

    python benchmarks/app.py --out benchmarks/results

- first paint: from the start of the command until Home is drawn;
- 500 runs: from the start of the command until all of them are listed in Home;
- lag: how late the event loop wakes from sleeps of 5 ms while a 5-way 1-shot training runs;
- cost: meta-iterations a second of that training with 4 redraws a second of the Train screen, every
  iteration logged, over those without redraws; windows of both alternate in one process.

Times of redrawing the chart alone: benchmarks/chart.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.terminal import Terminal

COLUMNS, ROWS = 120, 36
PROFILE = "5way1shot"
OVERRIDES = (
    "data.set=strokes",
    "meta.iterations=1000000",
    "validation.interval=1000000",
    "run.log_interval=1",
)
"""Every iteration is logged, so that redraws have something new."""
SLEEP = 0.005
WINDOW_SECONDS = 6.0
WARM_UP_SECONDS = 8.0


def first_paint(place: Path) -> float:
    """Seconds from the start of the command until Home is on the screen."""
    begun = time.perf_counter()
    with Terminal([], place, columns=COLUMNS, rows=ROWS) as terminal:
        while "1 Home" not in terminal.text:
            terminal.read(0.002)
        painted = time.perf_counter() - begun
        terminal.press("ctrl+q")
        terminal.wait_for_end()
    return painted


def listed(place: Path, runs: int) -> float:
    """Seconds from the start of the command until Home has listed ``runs`` runs."""
    begun = time.perf_counter()
    with Terminal([], place, columns=COLUMNS, rows=ROWS) as terminal:
        while f"Runs {runs}" not in terminal.text:
            terminal.read(0.002)
            if time.perf_counter() - begun > 60:
                raise SystemExit(f"the runs were not listed:\n{terminal.text}")
        seconds = time.perf_counter() - begun
        terminal.press("ctrl+q")
        terminal.wait_for_end()
    return seconds


def make_runs(place: Path, count: int) -> None:
    """Run folders as trainings of quickstart leave them, without curves and checkpoints."""
    from mamltui.profiles import load_profile
    from mamltui.runs import Best, RunFolder

    profile = load_profile("quickstart")
    for number in range(count):
        run = RunFolder.create(profile, place / "runs")
        best = Best(iteration=number + 1, accuracy=0.8, loss=0.5)
        run.update(state="finished", iteration=number + 1, best=best)
        run.release()


class Probe:
    """Runs inside the app, in the process that ``measured`` starts; writes what it saw."""

    def __init__(self, pairs: int, result: Path) -> None:
        self.pairs, self.result = pairs, result
        self.iterations = 0
        self.redraws = True

    def install(self) -> Any:
        """The app with this probe in it."""
        from mamltui.maml.engine import Engine
        from mamltui.tui import app as app_module
        from mamltui.tui.session.options import Options

        probe, step = self, Engine.meta_gradient

        def counted(*arguments: Any, **options: Any) -> Any:
            gradient = step(*arguments, **options)
            probe.iterations += 1
            return gradient

        Engine.meta_gradient = counted  # type: ignore[method-assign]

        class Probed(app_module.MamltuiApp):
            CSS_PATH = [  # noqa: RUF012
                Path(app_module.__file__).parent / name for name in app_module.MamltuiApp.CSS_PATH
            ]

            def on_mount(self) -> None:  # besides that of the app itself
                self.run_worker(probe.watch(self))

            def _tick(self) -> None:
                if probe.redraws:
                    super()._tick()

        return Probed(Options(PROFILE, OVERRIDES, run_now=True))

    async def watch(self, app: Any) -> None:
        while self.iterations < 3:
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_UP_SECONDS)
        lags: list[float] = []
        speeds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(self.pairs):
            for redraws in (True, False):
                self.redraws = redraws
                speeds[redraws].append(await self.window(lags if redraws else []))
        self.result.write_text(
            json.dumps({"lags": lags, "with": speeds[True], "without": speeds[False]})
        )
        app.leave()

    async def window(self, lags: list[float]) -> float:
        """Iterations a second over a window that starts and ends with an iteration."""
        begun, before = await self.next_iteration()
        while time.perf_counter() - begun < WINDOW_SECONDS:
            asked = time.perf_counter()
            await asyncio.sleep(SLEEP)
            lags.append(time.perf_counter() - asked - SLEEP)
        ended, after = await self.next_iteration()
        return (after - before) / (ended - begun)

    async def next_iteration(self) -> tuple[float, int]:
        number = self.iterations
        while self.iterations == number:
            await asyncio.sleep(0.002)
        return time.perf_counter(), self.iterations


def measured(place: Path, pairs: int) -> dict[str, list[float]]:
    """What the probe saw in an app of its own."""
    result = place / "probe.json"
    command = [str(Path(__file__).resolve()), "--probe", str(pairs), "--result", str(result)]
    limit = WARM_UP_SECONDS + pairs * 2 * (WINDOW_SECONDS + 5) + 60
    with Terminal(command, place, columns=COLUMNS, rows=ROWS, program=[sys.executable]) as terminal:
        if terminal.wait_for_end(limit) != 0:
            raise SystemExit(f"the measured app failed:\n{terminal.text}")
    values: dict[str, list[float]] = json.loads(result.read_text())
    return values


def quantiles(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": statistics.median(values),
        "p5": float(np.quantile(values, 0.05)),
        "p95": float(np.quantile(values, 0.95)),
        "min": min(values),
        "max": max(values),
        "count": len(values),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=6, help="windows with and without redraws")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--out", type=Path, help="folder for app.json and app.md")
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.probe:
        app = Probe(asked.probe, asked.result).install()
        app.run()
        os._exit(app.return_code or 0)
    place = Path(tempfile.mkdtemp(prefix="mamltui-app-"))
    os.environ["MAMLTUI_STATE_DIR"] = str(place / "state")
    os.environ.pop("MAMLTUI_RUNS_DIR", None)
    try:
        report = everything(place, asked)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    page = markdown(report)
    print(page)
    if asked.out:
        (asked.out / "app.json").write_text(json.dumps(report, indent=2) + "\n")
        (asked.out / "app.md").write_text(page)


def everything(place: Path, asked: argparse.Namespace) -> dict[str, Any]:
    from importlib.metadata import version

    from mamltui.tui.app import REDRAWS_PER_SECOND

    first_paint(place)  # compiles what is not compiled yet
    paints = [first_paint(place) for _ in range(asked.starts)]
    seen = measured(place, asked.pairs)
    shutil.rmtree(place / "runs")
    make_runs(place, asked.runs)
    lists = [listed(place, asked.runs) for _ in range(max(3, asked.starts // 2))]
    ratios = [on / off for on, off in zip(seen["with"], seen["without"], strict=True)]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("torch", "textual", "numpy")},
        "runs": asked.runs,
        "redraws_per_second": REDRAWS_PER_SECOND,
        "python": platform.python_version(),
        "first_paint_seconds": quantiles(paints),
        "runs_listed_seconds": quantiles(lists),
        "lag_seconds": quantiles(seen["lags"]),
        "iterations_per_second": {
            "with_redraws": seen["with"],
            "without": seen["without"],
            "ratio": quantiles(ratios),
        },
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    ratios = report["iterations_per_second"]["ratio"]
    cost = {"median": 1 - ratios["median"], "p95": 1 - ratios["p5"], "max": 1 - ratios["min"]}
    rows = [
        ("first paint, s", report["first_paint_seconds"], 1, 3, "0.6"),
        (f"{report['runs']} runs listed in Home, s", report["runs_listed_seconds"], 1, 3, "1"),
        ("event-loop lag while training, ms", report["lag_seconds"], 1000, 2, "p95 16"),
        (
            f"cost of {report['redraws_per_second']} redraws a second, %",
            cost | {"count": ratios["count"]},
            100,
            1,
            "3",
        ),
    ]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    lines = [
        "# The app's own speed",
        "",
        "Written by `python benchmarks/app.py`, whose first lines say what is measured.",
        f"{report['machine']}; Python {report['python']}, {versions}; load at the end "
        f"{report['load']:.1f}.",
        "",
        "| | median | p95 | worst | of | aim |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, values, scale, digits, aim in rows:
        shown = [f"{scale * values[key]:.{digits}f}" for key in ("median", "p95", "max")]
        lines.append(f"| {name} | {' | '.join(shown)} | {values['count']} | {aim} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
