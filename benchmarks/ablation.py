"""Train MAML, its relatives and their parts for the same minutes each, and make a page of it.

    python benchmarks/ablation.py run --data-dir DIR --out DIR --minutes 10 --jobs 2
    python benchmarks/ablation.py status --out DIR
    python benchmarks/ablation.py report --out DIR --docs docs

What is compared is in benchmarks/evidence/variants.py. ``run`` first times each variant alone,
which gives the number of iterations that fit into the minutes; then it trains them all, the first
seed of each before the second of any, and evaluates each on the test split. Stopped or killed, it
goes on where it was when it is started again with the same options. ``report`` needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from evidence.plan import Plan, machine, read_trials, trainings
from evidence.processes import Processes
from evidence.trainings import OVER, Queue, find, read_failures, runs_by_name
from evidence.trials import time_all
from evidence.variants import SETTINGS, cases

from mamltui.errors import ExitCode, MamltuiError, UsageError
from mamltui.results import write_text
from mamltui.runs.lock import Lock

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results/ablation.json"
DOCS = HERE.parent / "docs"


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.do(asked))
    except MamltuiError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="time, train and evaluate what is not yet")
    run.set_defaults(do=_run)
    run.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    run.add_argument("--minutes", type=float, required=True, help="of each training")
    run.add_argument("--data-dir", type=Path, help="folder with Omniglot")
    run.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", help="such as 5w1s-maml"
    )
    run.add_argument("--seeds", type=int, default=3, help="at 5-way (default: 3)")
    run.add_argument("--seeds-20-way", type=int, default=1, help="at 20-way (default: 1)")
    run.add_argument("--jobs", type=int, default=2, help="trainings at once (default: 2)")
    run.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    run.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    run.add_argument("--trial-seconds", type=float, default=8.0, help="of each trial (default: 8)")
    run.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of all profiles"
    )

    status = commands.add_parser("status", help="how far it is")
    status.set_defaults(do=_status)
    status.add_argument("--out", type=Path, required=True)
    status.add_argument("--seeds", type=int, default=3)
    status.add_argument("--seeds-20-way", type=int, default=1)
    status.add_argument("--json", action="store_true")

    report = commands.add_parser("report", help="write the figures, the page and its plots")
    report.set_defaults(do=_report)
    report.add_argument("--out", type=Path, help="folder of `run`; without: of figures kept")
    report.add_argument("--results", type=Path, default=RESULTS, help="file of the figures")
    report.add_argument("--docs", type=Path, default=DOCS, help="folder of page and plots")
    return parser


def _run(asked: argparse.Namespace) -> int:
    if min(asked.minutes, asked.trial_seconds) <= 0:
        raise UsageError("minutes and seconds must be more than 0")
    if min(asked.jobs, asked.threads, asked.seeds, asked.seeds_20_way) < 1:
        raise UsageError("jobs, threads and seeds must be 1 or more")
    chosen = cases(asked.only)
    out: Path = asked.out.absolute()
    plan = Plan(asked.minutes, asked.threads, asked.device, tuple(asked.set), machine()).keep(out)
    lock = Lock(out / "lock")
    if not lock.acquire():
        raise UsageError("another command trains here", where=str(out))
    place = [f"--device={asked.device}"]
    if asked.data_dir is not None:
        place.append(f"--data-dir={asked.data_dir.absolute()}")
    processes = Processes(asked.threads)
    with processes.stopped_by_signals():
        failed = time_all(chosen, plan, out, place, asked.trial_seconds, processes, _say)
        if not processes.stopping:
            _keep_failed_trials(out, {case.name for case in chosen}, failed)
            queue = trainings(chosen, plan, read_trials(out), _seeds(asked))
            Queue(queue, out, place, asked.jobs, processes, _say).run()
    if processes.stopped_by is not None:
        _say(f"{processes.stopped_by.name}: stopped; the same command goes on")
        return 128 + processes.stopped_by
    failed |= read_failures(out)
    _say(_summary(_standing(out, _seeds(asked))))
    return ExitCode.FAILURE if failed else ExitCode.DONE


def _keep_failed_trials(out: Path, chosen: set[str], failed: dict[str, str]) -> None:
    """Beside those of earlier commands that were not chosen now."""
    path = out / "failed-trials.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = {name: why for name, why in before.items() if name not in chosen} | failed
    write_text(path, json.dumps(kept, indent=1) + "\n")


def _seeds(asked: argparse.Namespace) -> dict[str, int]:
    return {
        setting.name: asked.seeds if setting.way < 20 else asked.seeds_20_way
        for setting in SETTINGS
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _standing(out: Path, seeds: dict[str, int]) -> dict[str, Any]:
    """Where each training that has a trial stands."""
    plan, runs, failures = Plan.of(out), runs_by_name(out), read_failures(out)
    queue = trainings(cases(), plan, read_trials(out), seeds)
    found = {one.name: find(one, runs.get(one.name, []), failures) for one in queue}
    left = sum(
        plan.minutes * (1 - found[one.name].iteration / one.iterations)
        for one in queue
        if found[one.name].state not in OVER
    )
    return {
        "trainings": len(queue),
        "states": dict(sorted(Counter(one.state for one in found.values()).items())),
        "minutes_left_one_by_one": round(left, 1),
        "running": {
            one.name: round(found[one.name].iteration / one.iterations, 3)
            for one in queue
            if found[one.name].state == "running"
        },
        "failed": {name: one.why for name, one in found.items() if one.state == "failed"},
        "diverged": {name: one.why for name, one in found.items() if one.state == "diverged"},
    }


def _summary(standing: dict[str, Any]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in standing["states"].items())
    lines = [f"{standing['trainings']} trainings: {states}"]
    if left := standing["minutes_left_one_by_one"]:
        lines[0] += f"; {left:g} minutes of training left, shared by the jobs"
    lines += [f"  {name}: {100 * done:.0f} %" for name, done in standing["running"].items()]
    for state in ("failed", "diverged"):
        lines += [f"  {name}: {state}: {why}" for name, why in standing[state].items()]
    return "\n".join(lines)


def _status(asked: argparse.Namespace) -> int:
    standing = _standing(asked.out, _seeds(asked))
    print(json.dumps(standing, indent=1) if asked.json else _summary(standing))
    return ExitCode.DONE


def _report(asked: argparse.Namespace) -> int:
    from evidence.figures import collect, read_figures, write_figures
    from evidence.page import write_page

    if asked.out is not None:
        write_figures(asked.results, collect(asked.out))
    figures = read_figures(asked.results)
    try:
        from evidence.plots import write_plots
    except ImportError as error:
        raise UsageError(
            f"plots need {error.name}", hint="pip install 'mamltui[benchmark]'"
        ) from error
    write_plots(figures, asked.docs)
    path = write_page(figures, asked.docs)
    _say(f"{path}, its plots beside it; figures in {asked.results}")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
