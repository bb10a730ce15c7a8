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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.data.sampling import images_of
from mamltui.errors import ExitCode, MamltuiError, RunInUseError
from mamltui.events import Diverged
from mamltui.signals import stop_signals

if TYPE_CHECKING:
    from mamltui.data.banks import Banks
    from mamltui.training import Control

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
        return _time(asked) if asked.time else _work(asked)
    except MamltuiError as error:
        _tell(str(error))
        return error.exit_code
    except (RuntimeError, MemoryError) as error:
        from mamltui.maml.memory import memory_error

        explained = memory_error(error, "let the study have fewer workers")
        if explained is None:
            raise
        _tell(str(explained))
        return explained.exit_code


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(ExitCode.TERMINATED)


def _work(asked: argparse.Namespace) -> int:
    """Work on the cell; while another process has its run, wait, and take what it leaves.

    Two studies may share a cell, and Slurm may queue a job again that its queue has given up and
    submitted once more.
    """
    import torch

    from mamltui.data.banks import Banks
    from mamltui.maml.allocator import keep_freed_memory
    from mamltui.training import Control

    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    banks, control = Banks(asked.data_dir), Control()
    received: list[signal.Signals] = []

    def stop(by: signal.Signals) -> None:
        received.append(by)
        control.stop(by.name)

    code, is_waiting = ExitCode.DONE, False
    with stop_signals(stop, control.checkpoint):
        while not received:
            try:
                code = _train_and_test(asked, banks, control, received)
                break
            except RunInUseError as error:
                if not is_waiting:
                    _tell(f"waiting: {error.what}")
                is_waiting = True
                time.sleep(LOCK_SECONDS)
    return 128 + received[0] if received and code == ExitCode.DONE else code


def _train_and_test(
    asked: argparse.Namespace,
    banks: Banks,
    control: Control,
    received: Sequence[signal.Signals],
) -> ExitCode:
    """Do what is still to be done.

    Args:
        received: signals to stop, of which ``control`` knows.

    Raises:
        RunInUseError: another process trains the run, or tests it for a study.
    """
    from mamltui.evaluation import evaluate_run
    from mamltui.maml.chunks import Interrupted
    from mamltui.profiles import load_profile
    from mamltui.profiles.steps import steps_text
    from mamltui.results import write_results
    from mamltui.studies.example import Example, write_example
    from mamltui.studies.standing import find_fitting, fitting_evaluation
    from mamltui.training.experiment import run_experiment
    from mamltui.training.plan import make_plan

    profile = load_profile(str(asked.profile))
    fitting = find_fitting(asked.out, profile)
    run = fitting.folder if fitting else None
    if run is not None:
        # A run keeps its name; what is tested is up to the study.
        profile = run.profile.model_copy(update={"evaluation": profile.evaluation})
    is_trained = fitting is not None and fitting.state == "finished"
    plan = make_plan(
        profile,
        device=asked.device,
        runs=asked.out,
        banks=banks,
        resume=None if run is None or is_trained else str(run.path),
        overrides=[
            f"evaluation.steps={steps_text(profile.evaluation.steps)}",
            f"evaluation.episodes={profile.evaluation.episodes}",
        ],
        say=_tell,
    )
    if run is None or not is_trained:
        outcome = run_experiment(plan, control)
        if isinstance(outcome.end, Diverged):
            _tell(f"diverged: {outcome.end.reason}")
            return ExitCode.DIVERGED
    else:
        run.acquire()
        try:
            tested = find_fitting(asked.out, profile)
            if tested is None or fitting_evaluation(tested, profile) is None:
                with suppress(Interrupted):
                    evaluation = evaluate_run(
                        run,
                        bank=plan.bank,
                        steps=profile.evaluation.steps,
                        episodes=profile.evaluation.episodes,
                        device=plan.device,
                        should_stop=lambda: control.stop_reason is not None,
                        say=_tell,
                    )
                    write_results(run.evaluation, evaluation)
        finally:
            run.release()
    trained = find_fitting(asked.out, profile)
    if trained is not None and not received and Example.read(trained.folder) is None:
        write_example(trained.folder, images_of(plan.bank, "a study"))
    return ExitCode.DONE


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
