"""A study's workers as processes on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from mamltui.errors import DeviceError
from mamltui.processors import usable_processors
from mamltui.profiles import Profile
from mamltui.studies.executors.executor import Assignment, Job, trainings_on_a_gpu

DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"


class LocalExecutor:
    """Processes on this machine, which let others go first.

    Args:
        workers: at once; None: as many as there is room for.
        threads: of each; None: the cores, shared out among the workers.
        gpu_share: part of a GPU that each takes, so that several share it; None: all processes see
            all GPUs, and take the first.

    Raises:
        DeviceError: a part of a GPU is wanted, and there is none.
    """

    def __init__(
        self,
        workers: int | None = None,
        threads: int | None = None,
        gpu_share: float | None = None,
    ) -> None:
        cores = usable_processors()
        room = max(1, cores // threads) if threads else cores
        self._share = gpu_share
        self._gpus: dict[str, list[_Process]] = {}
        if gpu_share is not None:
            self._gpus = {gpu: [] for gpu in visible_gpus()}
            room = len(self._gpus) * trainings_on_a_gpu(gpu_share)
        workers = workers or room
        self.threads = threads or max(1, cores // workers)
        self.workers = workers if gpu_share is None else min(workers, room)

    def options(self) -> list[str]:
        return [] if self._share is None else ["--gpu-share", f"{self._share:g}"]

    def prepare(self, study: Path, profiles: Sequence[Profile], data: Path | None) -> None:
        """A worker finds out by itself what is missing here."""

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def start(self, assignment: Assignment, log: Path) -> Job:
        log.parent.mkdir(parents=True, exist_ok=True)
        environment, gpu = assignment.environment(), self._emptiest()
        if gpu is not None:
            environment[DEVICES_VARIABLE] = gpu
        nice, command = shutil.which("nice"), assignment.command()
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [nice, "-n", "10", *command] if nice else command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches it through the queue alone, and once
            )
        job = _Process(process)
        if gpu is not None:
            self._gpus[gpu].append(job)
        return job

    def close(self) -> None:
        """What was started goes on."""

    def _emptiest(self) -> str | None:
        """The GPU that has the fewest workers."""
        for jobs in self._gpus.values():
            jobs[:] = [job for job in jobs if job.poll() is None]
        return min(self._gpus, key=lambda gpu: len(self._gpus[gpu]), default=None)


class _Process:
    why = ""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self, *, at_once: bool = False) -> None:
        if self._process.poll() is None:
            with suppress(OSError):
                self._process.send_signal(signal.SIGKILL if at_once else signal.SIGINT)


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls the GPUs that this process may use.

    Raises:
        DeviceError: there is none.
    """
    import torch

    from mamltui.training import resolve_device

    resolve_device("cuda")
    count = torch.cuda.device_count()
    names = [name.strip() for name in os.environ.get(DEVICES_VARIABLE, "").split(",")]
    gpus = [name for name in names if name] or [str(index) for index in range(count)]
    if not count:
        raise DeviceError("there is no GPU to share out", where="--gpu-share")
    return gpus[:count]
