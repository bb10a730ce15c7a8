"""Trains in children that are killed at every n-th operation on the disk, and prints their runs.

    python kill_points.py ROOT FIRST STRIDE OVERRIDE...

A child killed in a write has written half of it. Ends with the first child that came to the end of
its training.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from tests.training.file_operations import Operation, kill, watched
from tests.training.small import make_profile, make_run, make_trainer


def train_and_die(root: Path, number: int, overrides: list[str]) -> None:
    run = make_run(root, make_profile(*overrides))
    print(run.path, flush=True)

    def before(operation: Operation) -> None:
        if operation.number == number:
            kill(operation)

    with watched(run.path, before):
        for _ in make_trainer(run).train():
            pass


def main(root: Path, first: int, stride: int, overrides: list[str]) -> None:
    torch.set_num_threads(1)
    number = first
    while True:
        child = os.fork()
        if child == 0:
            train_and_die(root, number, overrides)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return
        number += stride


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
