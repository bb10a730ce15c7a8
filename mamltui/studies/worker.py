"""A process that works on one cell: it trains what is still to be trained, and tests it.

    python -m mamltui.studies.worker PROFILE.toml --out DIR --threads N

It may be started again at any time: a run that fits is gone on with, or only tested.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from mamltui.errors import ExitCode, MamltuiError
from mamltui.events import Diverged, Finished


def main(arguments: list[str] | None = None) -> int:
    """The exit code, as of ``mamltui run``."""
    parser = argparse.ArgumentParser(prog="mamltui.studies.worker")
    parser.add_argument("profile", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--time", type=Path, metavar="FILE", help="only measure its speed")
    asked = parser.parse_args(arguments)
    try:
        return _time(asked) if asked.time else _work(asked)
    except MamltuiError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _work(asked: argparse.Namespace) -> int:
    import torch

    from mamltui.data.banks import Banks
    from mamltui.evaluation import evaluate_run
    from mamltui.maml.chunks import Interrupted
    from mamltui.profiles import load_profile
    from mamltui.results import write_results
    from mamltui.runs import RunFolder
    from mamltui.studies.standing import Runs, find_fitting
    from mamltui.training import Control, Trainer
    from mamltui.training.plan import make_plan

    torch.set_num_threads(asked.threads)
    profile = load_profile(str(asked.profile))
    run = find_fitting(asked.out, profile)
    control = Control()
    stopped: list[signal.Signals] = []

    def stop(number: int, _: object) -> None:
        by = signal.Signals(number)
        stopped.append(by)
        control.stop(by.name)

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        is_trained = run is not None and run.info().state == "finished"
        plan = make_plan(
            profile if run is None else run.profile,
            device=asked.device,
            runs=asked.out,
            banks=Banks(asked.data_dir),
            resume=None if run is None or is_trained else str(run.path),
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
        if not is_trained:
            run = plan.run or RunFolder.create(plan.profile, asked.out)
            for event in Trainer(plan, run, control).train():
                end = event
            if isinstance(end, Diverged):
                print(f"diverged: {end.reason}", file=sys.stderr)
                return ExitCode.DIVERGED
            if not isinstance(end, Finished):
                return 128 + stopped[0] if stopped else ExitCode.FAILURE
        assert run is not None
        if Runs(asked.out).evaluation(run, profile) is None:
            evaluation = evaluate_run(
                run,
                bank=plan.bank,
                steps=profile.evaluation.steps,
                episodes=profile.evaluation.episodes,
                device=plan.device,
                should_stop=lambda: bool(stopped),
            )
            write_results(run.evaluation, evaluation)
    except Interrupted:
        return 128 + stopped[0]
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    return ExitCode.DONE


def _time(asked: argparse.Namespace) -> int:
    from dataclasses import asdict

    from mamltui.profiles import load_profile
    from mamltui.results import write_text
    from mamltui.studies.timing import time_training

    profile = load_profile(str(asked.profile))
    speed = time_training(profile, asked.data_dir, asked.device, asked.threads)
    write_text(asked.time, json.dumps(asdict(speed)) + "\n")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
