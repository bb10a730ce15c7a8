"""A study's workers as jobs of Slurm, submitted through submitit.

A job waits for the worker that it started. Slurm's warning before a job's time is over, or before
it is preempted (SIGUSR2), has the worker save a checkpoint and the job queued again; there the
training goes on. All jobs that are submitted at once are one array.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mamltui.errors import ExecutorError, ExitCode, UsageError
from mamltui.profiles import Profile
from mamltui.studies.executors.executor import KILLED, Assignment, Job, Wanted, add_to_log
from mamltui.studies.executors.node import Origin, arrive, start_tied
from mamltui.text import last_line

FOLDER = "slurm"
"""In the study's folder: what submitit writes."""
MINUTES = 60
"""Of a job, unless ``time`` is given; a training that is longer is queued again."""
MOST_TIMEOUTS = 10_000
"""Each goes on from a checkpoint."""
AT_ONCE = 1000
"""Jobs that are submitted, unless it is said otherwise; Slurm decides how many run."""
LOOK_SECONDS = 60.0
"""Between two questions to Slurm how its jobs are; results are seen at once."""
STOPPING_SECONDS = 2.0
"""Likewise, of jobs that were cancelled."""
GRACE_SECONDS = 120.0
"""A worker that Slurm stopped lets Slurm end its job, or queue it again."""
POLL_SECONDS = 0.1
LOST = ("CANCELLED", "NODE_FAIL", "PREEMPTED", "TIMEOUT", "INTERRUPTED", "BOOT_FAIL", "REVOKED")
"""States of jobs that ended by no fault of the training."""


@dataclass
class Submission:
    """What runs on a node: one worker. submitit pickles it."""

    assignment: Assignment
    log: Path
    origin: Origin
    _code: int | None = field(default=None, init=False)
    _process: Any = field(default=None, init=False)

    def __call__(self) -> int:
        """The worker's exit code."""
        problem = self._problem()
        if problem is not None:
            add_to_log(self.log, problem)
            return ExitCode.UNAVAILABLE
        with suppress(OSError):
            os.chdir(self.origin.folder)
        self._start()
        try:
            code = self._wait()
        except KeyboardInterrupt:
            self._stop()
            return ExitCode.INTERRUPTED
        if code == ExitCode.TERMINATED:
            # Of Slurm, to all processes of the job: it ends the job, or queues it again, by itself.
            time.sleep(GRACE_SECONDS)
        return code

    def checkpoint(self) -> Any:
        """Called by submitit in its handler of Slurm's warning: what is queued again."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        return DelayedSubmission(Submission(self.assignment, self.log, self.origin))

    def _problem(self) -> str | None:
        arrival = arrive(self.origin)
        if arrival.problem is None and not arrival.shares:
            folder = self.origin.mark.parent
            return f"{folder} on {arrival.host} is not the folder of the study: it must be shared"
        return arrival.problem

    def _start(self) -> None:
        self._process = process = start_tied(
            self.assignment,
            self.log,
            env=self.assignment.environment(),
            # Slurm sends its warning to all processes of the job.
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
        )

        def wait() -> None:
            self._code = process.wait()

        # A handler of signals may wait for it, too: it can be asked for without a lock.
        threading.Thread(target=wait, name="wait", daemon=True).start()

    def _wait(self) -> int:
        while self._code is None:
            time.sleep(POLL_SECONDS)
        return self._code

    def _stop(self) -> None:
        if self._process is not None:
            if self._code is None:
                with suppress(OSError):
                    os.kill(self._process.pid, signal.SIGTERM)
            self._wait()


class SlurmExecutor:
    """Jobs of Slurm.

    Args:
        cluster: submitit's name; ``local`` runs the same jobs on this machine, for tests.

    Raises:
        UsageError: something is wanted that Slurm does not give.
        ExecutorError: submitit or Slurm's commands are not here.
    """

    def __init__(self, wanted: Wanted, cluster: str = "slurm") -> None:
        if wanted.gpu_share is not None:
            raise UsageError(
                "Slurm shares out whole GPUs",
                where="--gpu-share",
                hint="Where it is set up to share them: --slurm gres=shard:1",
            )
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise ExecutorError(
                "submitit is not installed",
                where="--on slurm",
                hint="pip install 'mamltui[slurm]'",
            ) from error
        missing = [name for name in ("sbatch", "srun", "sacct") if not shutil.which(name)]
        if cluster == "slurm" and missing:
            raise ExecutorError(
                f"this machine has no {' and no '.join(missing)}",
                where="--on slurm",
                hint="Type the command where you submit jobs to Slurm.",
            )
        self.threads = wanted.threads or 1
        self.workers = wanted.workers or AT_ONCE
        self._wanted, self._cluster = wanted, cluster
        self._settings = dict(_setting(text) for text in wanted.slurm)
        self._executor: Any = None
        self._origin: Origin | None = None
        self._waiting: list[tuple[Submission, _SlurmJob]] = []
        self._asked = time.monotonic()

    def options(self) -> list[str]:
        return [
            "--on",
            "slurm",
            *(word for text in self._wanted.slurm for word in ("--slurm", text)),
        ]

    def prepare(
        self,
        study: Path,
        profiles: Sequence[Profile],  # noqa: ARG002
        data: Path | None,  # noqa: ARG002
    ) -> None:
        """Leave in the study's folder what each job's node is compared with."""
        import submitit

        self._origin = Origin.here(study)
        self._executor = submitit.AutoExecutor(
            (study / FOLDER).absolute(), cluster=self._cluster, slurm_max_num_timeout=MOST_TIMEOUTS
        )
        known = self._executor._executor._valid_parameters() if self._cluster == "slurm" else set()
        settings: dict[str, Any] = {"time": MINUTES, "array_parallelism": self.workers}
        settings |= {key: value for key, value in self._settings.items() if key in known}
        settings["additional_parameters"] = {
            key: value for key, value in self._settings.items() if key not in known
        }
        self._executor.update_parameters(
            name=f"mamltui-{study.name}",
            cpus_per_task=self.threads,
            gpus_per_node=int(self._wanted.device == "cuda"),
            **{f"slurm_{key}": value for key, value in settings.items()},
        )

    @contextmanager
    def together(self) -> Iterator[None]:
        yield
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(submission) for submission, _ in waiting]
        except Exception as error:  # sbatch refused it
            raise ExecutorError(
                f"Slurm takes no job: {last_line(str(error))}", where="--on slurm"
            ) from error
        for (_, job), submitted in zip(waiting, jobs, strict=True):
            job.submitted = submitted

    def start(self, assignment: Assignment, log: Path) -> Job:
        assert self._origin is not None, "it is prepared first"
        job = _SlurmJob(self, log)
        self._waiting.append((Submission(assignment, log.absolute(), self._origin), job))
        return job

    def close(self) -> None:
        """Jobs have ended, or are stopped, one by one."""

    def must_ask(self, *, are_stopping: bool) -> bool:
        """Whether it is time to ask Slurm again how its jobs are; submitit asks for all at once."""
        now = time.monotonic()
        if now - self._asked < (STOPPING_SECONDS if are_stopping else LOOK_SECONDS):
            return False
        self._asked = now
        return True


class _SlurmJob:
    """A job, from its submission until its result is there or Slurm has given it up."""

    def __init__(self, executor: SlurmExecutor, log: Path) -> None:
        self.why = ""
        self.submitted: Any = None
        self._executor, self._log = executor, log
        self._code: int | None = None
        self._stops = self._is_cancelled = False

    def stop(self, *, at_once: bool = False) -> None:  # noqa: ARG002
        # Slurm itself asks first, and kills after its KillWait.
        self._stops = True

    def poll(self) -> int | None:
        if self._code is not None or self.submitted is None:
            return self._code
        if self._stops and not self._is_cancelled:
            self._is_cancelled = True
            self.submitted.cancel(check=False)
        if self.submitted.paths.result_pickle.exists():
            self._code = self._result()
        elif self.submitted.done(self._executor.must_ask(are_stopping=self._is_cancelled)):
            # The result may have come between the two questions.
            is_there = self.submitted.paths.result_pickle.exists()
            self._code = self._result() if is_there else self._without_result()
        return self._code

    def _result(self) -> int:
        from submitit.core.utils import pickle_load

        outcome, result = pickle_load(self.submitted.paths.result_pickle)
        if outcome == "success":
            return int(result)
        add_to_log(self._log, last_line(result))
        return ExitCode.FAILURE

    def _without_result(self) -> int:
        if self._is_cancelled:
            return ExitCode.TERMINATED
        state = self.submitted.state
        self.why = f"Slurm ended its job {self.submitted.job_id} as {state}"
        if state.startswith(LOST):
            return KILLED
        folder = self.submitted.paths.folder.parent
        add_to_log(
            self._log,
            f"{self.why}; it left no result: is {folder} shared with its node? "
            f"What it said: {self.submitted.paths.stderr}",
        )
        return ExitCode.FAILURE


def _setting(text: str) -> tuple[str, str | int]:
    """``KEY=VALUE`` as submitit takes it, ``-`` in keys as ``_``.

    Raises:
        UsageError: it is not of that form.
    """
    key, equals, value = text.partition("=")
    key = key.strip().lstrip("-").replace("-", "_")
    if not equals or not key or not value.strip():
        raise UsageError(
            "a setting of Slurm is KEY=VALUE", where=f"--slurm {text}", hint="--slurm partition=gpu"
        )
    value = value.strip()
    if key == "time" and not value.isdecimal():
        raise UsageError("the time of a job is in minutes", where=f"--slurm {text}")
    return key, int(value) if value.isdecimal() else value
