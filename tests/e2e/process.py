"""The real command in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-m", "mamltui"]
SECONDS = 120.0
"""Long enough for a machine that has something else to do."""


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command line; what it prints can be read while it runs."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until ``condition`` holds; fail when the process ends before, or time runs out."""
    limit = time.monotonic() + SECONDS
    while not condition():
        if process.poll() is not None:
            _, error = process.communicate()
            raise AssertionError(f"ended with {process.returncode}: {error}")
        if time.monotonic() > limit:
            process.kill()
            raise AssertionError("timed out")
        time.sleep(0.01)


def read_until(word: str, stream: object) -> str:
    """The lines of ``stream`` up to the first that holds ``word``."""
    lines = []
    for line in stream:  # type: ignore[attr-defined]
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError(f"no {word!r} in: {''.join(lines)}")
