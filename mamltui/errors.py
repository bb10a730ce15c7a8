"""Errors that a user can cause, each with the exit code that the command ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to the shell when it ends."""

    DONE = 0
    FAILURE = 1
    """Something failed while running, or output could not be written."""
    USAGE = 2
    """The command line or the profile is not valid."""
    UNAVAILABLE = 3
    """Data, a run, a checkpoint or a device is not there or not usable."""
    DIVERGED = 4
    """The training diverged, or ended below ``--min-accuracy``."""
    HUNG_UP = 129
    """SIGHUP, after a checkpoint."""
    INTERRUPTED = 130
    """SIGINT, after a checkpoint."""
    TERMINATED = 143
    """SIGTERM, after a checkpoint."""


class MamltuiError(Exception):
    """An error written for the person who reads it.

    Args:
        what: what was wrong, one sentence.
        where: the file, line, key or folder concerned.
        hint: what to do about it.
    """

    exit_code = ExitCode.FAILURE

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n{self.hint}" if self.hint else text


class UsageError(MamltuiError):
    """The command line asks for something impossible."""

    exit_code = ExitCode.USAGE


class ProfileError(MamltuiError):
    """A profile cannot be read or does not describe a possible experiment."""

    exit_code = ExitCode.USAGE


class DataError(MamltuiError):
    """A data set is missing, damaged or hostile."""

    exit_code = ExitCode.UNAVAILABLE


class RunError(MamltuiError):
    """A run folder is missing, damaged, in use or cannot be written."""

    exit_code = ExitCode.UNAVAILABLE


class RunInUseError(RunError):
    """Another process trains into the run folder, or tests it for a study."""


class StorageError(MamltuiError):
    """A disk refused what a training writes for longer than the training could wait."""


class CheckpointError(MamltuiError):
    """A checkpoint is missing, damaged or belongs to another network."""

    exit_code = ExitCode.UNAVAILABLE


class DeviceError(MamltuiError):
    """The asked device does not exist here."""

    exit_code = ExitCode.UNAVAILABLE


class ExecutorError(MamltuiError):
    """Where trainings are to run cannot be reached, or they could not run there."""

    exit_code = ExitCode.UNAVAILABLE


class DivergedError(MamltuiError):
    """The training left the finite numbers, or ended below the asked accuracy."""

    exit_code = ExitCode.DIVERGED
