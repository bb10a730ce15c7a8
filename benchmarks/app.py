"""Measure the app where it must stay quick, in a real terminal (a pty of 120 by 36).

    python benchmarks/app.py --out benchmarks/results

- first paint: from the start of the command until Home is drawn;
- 500 runs: from the start of the command until all of them are listed in Home with their states,
  and until what is in their folders is read as well and they are shown with their curves;
- lag: how late the event loop wakes from sleeps of 5 ms while a 5-way 1-shot training runs;
- cost: what 4 redraws a second of the Train screen take of one processor during that training, with
  every iteration logged: processor time of the app's thread in windows with redraws, less that in
  windows without, which alternate in one process.

All but the lag are in seconds of the process's processors as well: on a machine with other work the
clock says what that work leaves. The aims are for a quiet machine, where both are nearly the same.

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
CURVE = "▇█"
"""The end of the curve of each of ``make_runs``."""
SLEEP = 0.005
LOOK_SECONDS = 0.01
"""How often the screen is looked at: oftener, and looking takes the processor from the app."""
WINDOW_SECONDS = 6.0
WARM_UP_SECONDS = 8.0


def processor_seconds(process: int) -> float:
    """What a process has taken so far, from Linux's ``/proc``."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_paint(place: Path) -> tuple[float, float]:
    """Seconds from the start of the command until Home is on the screen, by clock and processor."""
    begun = time.perf_counter()
    with Terminal([], place, columns=COLUMNS, rows=ROWS) as terminal:
        while "1 Home" not in terminal.text:
            terminal.read(LOOK_SECONDS)
        painted = time.perf_counter() - begun, processor_seconds(terminal.process.pid)
        terminal.press("ctrl+q")
        terminal.wait_for_end()
    return painted


def listed(place: Path, runs: int) -> list[tuple[float, float]]:
    """Likewise until Home has listed ``runs`` runs, and until it shows their curves."""
    begun = time.perf_counter()
    seconds = []
    with Terminal([], place, columns=COLUMNS, rows=ROWS) as terminal:
        for words in (f"Runs {runs}", CURVE):
            while words not in terminal.text:
                terminal.read(LOOK_SECONDS)
                if time.perf_counter() - begun > 60:
                    raise SystemExit(f"no {words} in:\n{terminal.text}")
            clock = time.perf_counter() - begun
            seconds.append((clock, processor_seconds(terminal.process.pid)))
        terminal.press("ctrl+q")
        terminal.wait_for_end()
    return seconds


def make_runs(place: Path, count: int) -> None:
    """Run folders as trainings of quickstart leave them, without metrics and checkpoints.

    Each has a seed of its own, so that no two profiles are the same.
    """
    from mamltui.events import Validated
    from mamltui.profiles import load_profile
    from mamltui.runs import Best, RunFolder

    for number in range(count):
        profile = load_profile("quickstart", [f"meta.seed={number}"])
        run = RunFolder.create(profile, place / "runs")
        for done in range(100, 2100, 100):
            accuracy = 0.3 + done / 4000
            run.append_event(
                Validated(done, accuracy, 0.01, 1.0, (0.2, accuracy), (1.6, 1.0), True, done / 50)
            )
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
        windows: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(self.pairs):
            for redraws in (True, False):
                self.redraws = redraws
                windows[redraws].append(await self.window(lags if redraws else []))
        self.result.write_text(
            json.dumps({"lags": lags, "with": windows[True], "without": windows[False]})
        )
        app.leave()

    async def window(self, lags: list[float]) -> float:
        """What this thread takes of a processor over a window; there are iterations in it."""
        begun, before = await self.next_iteration()
        taken = time.thread_time()
        while time.perf_counter() - begun < WINDOW_SECONDS:
            asked = time.perf_counter()
            await asyncio.sleep(SLEEP)
            lags.append(time.perf_counter() - asked - SLEEP)
        ended, after = await self.next_iteration()
        assert after > before
        return (time.thread_time() - taken) / (ended - begun)

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
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # who has installed the app has it compiled
    os.environ["MAMLTUI_REFERENCE_DIR"] = str(place)  # there are none in it
    try:
        report = everything(place, asked)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    page = markdown(report)
    print(page)
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "app.json").write_text(json.dumps(report, indent=2) + "\n")
        (asked.out / "app.md").write_text(page)


def everything(place: Path, asked: argparse.Namespace) -> dict[str, Any]:
    from importlib.metadata import version

    from mamltui.processors import processor_name
    from mamltui.tui.app import REDRAWS_PER_SECOND

    first_paint(place)  # compiles what is not compiled yet
    paints = [first_paint(place) for _ in range(asked.starts)]
    seen = measured(place, asked.pairs)
    shutil.rmtree(place / "runs")
    make_runs(place, asked.runs)
    lists = [listed(place, asked.runs) for _ in range(max(3, asked.starts // 2))]
    costs = [on - off for on, off in zip(seen["with"], seen["without"], strict=True)]
    return {
        "machine": f"{processor_name()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("torch", "textual", "numpy")},
        "runs": asked.runs,
        "redraws_per_second": REDRAWS_PER_SECOND,
        "python": platform.python_version(),
        "first_paint_seconds": quantiles([clock for clock, _ in paints]),
        "first_paint_processor_seconds": quantiles([processor for _, processor in paints]),
        "runs_listed_seconds": quantiles([clock for (clock, _), _ in lists]),
        "runs_listed_processor_seconds": quantiles([taken for (_, taken), _ in lists]),
        "runs_whole_seconds": quantiles([clock for _, (clock, _) in lists]),
        "runs_whole_processor_seconds": quantiles([taken for _, (_, taken) in lists]),
        "lag_seconds": quantiles(seen["lags"]),
        "share_of_a_processor": {
            "with_redraws": seen["with"],
            "without": seen["without"],
            "redraws": quantiles(costs),
        },
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    listed_name = f"{report['runs']} runs listed in Home"
    rows = [
        ("first paint, s", report["first_paint_seconds"], 1, 3, "0.6"),
        ("first paint, processor s", report["first_paint_processor_seconds"], 1, 3, "0.6"),
        (f"{listed_name}, s", report["runs_listed_seconds"], 1, 3, "1"),
        (f"{listed_name}, processor s", report["runs_listed_processor_seconds"], 1, 3, "1"),
        ("the same with their curves, s", report["runs_whole_seconds"], 1, 3, ""),
        (
            "the same with their curves, processor s",
            report["runs_whole_processor_seconds"],
            1,
            3,
            "",
        ),
        ("event-loop lag while training, ms", report["lag_seconds"], 1000, 2, "p95 16"),
        (
            f"{report['redraws_per_second']} redraws a second, % of a processor",
            report["share_of_a_processor"]["redraws"],
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
