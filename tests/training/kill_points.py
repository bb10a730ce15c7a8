"""Trains in children that are killed at every n-th operation on the disk, and prints their runs.

    python kill_points.py ROOT FIRST STRIDE OVERRIDE...

The operations are the writes of lines, the waits for the disk, the renames and the deletions. A
child killed in a write has written half of it. Ends with the first child that came to the end of
its training.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.training.small import make_profile, make_run, make_trainer


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(root: Path, operation: int, overrides: list[str]) -> None:
    run = make_run(root, make_profile(*overrides))
    print(run.path, flush=True)
    done = 0

    def counted(call: Callable[..., Any], last: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            nonlocal done
            done += 1
            if done == operation:
                last(*arguments)
                die()
            return call(*arguments)

        return counting

    write = os.write
    os.write = counted(write, lambda file, data: write(file, data[: len(data) // 2]))  # type: ignore[assignment]
    os.fsync = counted(os.fsync, die)
    os.replace = counted(os.replace, die)  # type: ignore[assignment]
    os.unlink = counted(os.unlink, die)  # type: ignore[assignment]
    for _ in make_trainer(run).train():
        pass


def main(root: Path, first: int, stride: int, overrides: list[str]) -> None:
    torch.set_num_threads(1)
    operation = first
    while True:
        child = os.fork()
        if child == 0:
            train_and_die(root, operation, overrides)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return
        operation += stride


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
