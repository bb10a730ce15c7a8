"""A process that works on one cell: it trains what is still to be trained, and tests it.

    python -m mamltui.studies.worker PROFILE.toml --out DIR --threads N

It may be started again at any time: a run that fits is gone on with, or only tested.
``--tied`` ends it, as if it were killed, with the process at the other end of its stdin.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.errors import ExitCode, MamltuiError, RunInUseError
from mamltui.events import Diverged
from mamltui.signals import stop_signals

if TYPE_CHECKING:
    from mamltui.runs import RunFolder

LOCK_SECONDS = 1.0
"""From one look at a run's lock to the next."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code, as of ``mamltui run``."""
    parser = argparse.ArgumentParser(prog="mamltui.studies.worker")
    parser.add_argument("profile", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--time", type=Path, metavar="FILE", help="only measure its speed")
    parser.add_argument("--tied", action="store_true", help="end when stdin is closed")
    asked = parser.parse_args(arguments)
    if asked.tied:
        threading.Thread(target=_end_with_stdin, name="tied", daemon=True).start()
    try:
        return _time(asked) if asked.time else _work_when_free(asked)
    except MamltuiError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (RuntimeError, MemoryError) as error:
        from mamltui.maml.memory import memory_error

        explained = memory_error(error, "let the study have fewer workers")
        if explained is None:
            raise
        print(explained, file=sys.stderr)
        return explained.exit_code


def _work_when_free(asked: argparse.Namespace) -> int:
    """Work on the cell; if another process trains it, take what it leaves, once it has ended.

    Slurm may queue a job again that its queue has given up and submitted once more.
    """
    is_waiting = False
    while True:
        try:
            return _work(asked)
        except RunInUseError as error:
            if not is_waiting:
                print(f"waiting: {error.what}", file=sys.stderr, flush=True)
            is_waiting = True
            time.sleep(LOCK_SECONDS)


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(128 + signal.SIGTERM)


def _work(asked: argparse.Namespace) -> int:
    import torch

    from mamltui.data.banks import Banks
    from mamltui.evaluation import evaluate_run
    from mamltui.maml.allocator import keep_freed_memory
    from mamltui.maml.chunks import Interrupted
    from mamltui.profiles import load_profile
    from mamltui.profiles.steps import steps_text
    from mamltui.results import write_results
    from mamltui.studies.example import Example, write_example
    from mamltui.studies.standing import find_fitting, fitting_evaluation
    from mamltui.training import Control
    from mamltui.training.experiment import run_experiment
    from mamltui.training.plan import make_plan

    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    profile = load_profile(str(asked.profile))
    fitting = find_fitting(asked.out, profile)
    run = fitting.folder if fitting else None
    if run is not None:
        # A run keeps its name; what is tested is up to the study.
        profile = run.profile.model_copy(update={"evaluation": profile.evaluation})
    is_trained = fitting is not None and fitting.state == "finished"
    control = Control()

    def stop(by: signal.Signals) -> None:
        stopped.append(by)
        control.stop(by.name)

    stopped: list[signal.Signals] = []
    with stop_signals(stop, control.checkpoint):
        plan = make_plan(
            profile,
            device=asked.device,
            runs=asked.out,
            banks=Banks(asked.data_dir),
            resume=None if run is None or is_trained else str(run.path),
            overrides=[
                f"evaluation.steps={steps_text(profile.evaluation.steps)}",
                f"evaluation.episodes={profile.evaluation.episodes}",
            ],
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
        if fitting is None or run is None or not is_trained:
            outcome = run_experiment(plan, control)
            if isinstance(outcome.end, Diverged):
                print(f"diverged: {outcome.end.reason}", file=sys.stderr)
                return ExitCode.DIVERGED
        else:
            with suppress(Interrupted), _alone_with(run, lambda: control.stop_reason is not None):
                tested = find_fitting(asked.out, profile)
                if tested is None or fitting_evaluation(tested, profile) is None:
                    evaluation = evaluate_run(
                        run,
                        bank=plan.bank,
                        steps=profile.evaluation.steps,
                        episodes=profile.evaluation.episodes,
                        device=plan.device,
                        should_stop=lambda: control.stop_reason is not None,
                        say=lambda text: print(text, file=sys.stderr, flush=True),
                    )
                    write_results(run.evaluation, evaluation)
        trained = find_fitting(asked.out, profile)
        if trained is not None and not stopped and Example.read(trained.folder) is None:
            write_example(trained.folder, plan.bank)
    return 128 + stopped[0] if stopped else ExitCode.DONE


@contextmanager
def _alone_with(run: RunFolder, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Holds the run's lock, so that two studies that share a cell do not both test it.

    Raises:
        Interrupted: ``should_stop`` said so while another process had it.
    """
    from mamltui.maml.chunks import Interrupted

    is_waiting = False
    while True:
        try:
            run.acquire()
        except RunInUseError as error:
            if not is_waiting:
                print(f"waiting: {error.what}", file=sys.stderr, flush=True)
                is_waiting = True
            if should_stop():
                raise Interrupted from None
            time.sleep(LOCK_SECONDS)
        else:
            break
    try:
        yield
    finally:
        run.release()


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
