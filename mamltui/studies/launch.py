"""A study's queue as a process of its own: started, found and stopped from elsewhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mamltui.commands import CommonOptions
from mamltui.errors import RunError
from mamltui.runs.files import file_error
from mamltui.runs.lock import Lock
from mamltui.studies.reading import study_folder

PROCESS = "queue.json"
"""Who works on the study: written by the queue when it has the lock."""


def process_note() -> str:
    """What a queue leaves in its study's folder about itself."""
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n"


def is_worked_on(name: str, root: Path | None) -> bool:
    """Whether a process works on the study among these runs."""
    return not Lock(study_folder(name, root) / "lock").is_free()


def start_queue(name: str, common: CommonOptions, *, resume: bool) -> subprocess.Popen[bytes]:
    """Start ``mamltui study run`` so that it outlives this process; it lets others go first.

    Args:
        name: a packaged study, or one that was begun.
        resume: as it was last run.

    Raises:
        RunError: its log cannot be written.
    """
    command = [sys.executable, "-m", "mamltui", "study", "run", name, *common.options()]
    command += ["--resume"] if resume else []
    return start_apart(command, study_folder(name, common.runs), "start the study")


def start_apart(command: Sequence[str], folder: Path, doing: str) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one; its output goes to ``queue.log`` in ``folder``.

    Args:
        doing: what it is for, as of :func:`file_error`.

    Raises:
        RunError: its log cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "queue.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    except OSError as error:
        raise file_error(error, folder, doing) from error


def stop_queue(name: str, root: Path | None) -> None:
    """Ask the process that works on the study to stop after checkpoints.

    Raises:
        RunError: there is none, or it runs on another machine.
    """
    folder = study_folder(name, root)
    if not is_worked_on(name, root):
        raise RunError("no process works on this study", where=str(folder))
    try:
        note = json.loads((folder / PROCESS).read_text(encoding="utf-8"))
        pid, host = int(note["pid"]), str(note["host"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("it is not known which process works on it", where=str(folder)) from error
    if host != socket.gethostname():
        raise RunError(
            f"process {pid} on {host} works on it", where=str(folder), hint="Stop it there."
        )
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
