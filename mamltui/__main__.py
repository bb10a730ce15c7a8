"""``python -m mamltui``, and the ``mamltui`` command: a process from its start to its end."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def run_process() -> NoReturn:
    """Run the process's command line and end the process with its exit code.

    In :func:`~mamltui.cli.main`, Ctrl+C is answered. While modules are imported, and after all is
    done, nobody would answer it but Python, with a traceback: there it ends the process at once.
    SIGUSR1, by which a scheduler warns, ends nothing; while training it saves a checkpoint.
    """
    answer = signal.getsignal(signal.SIGINT)
    _end_on_interrupt(answer)
    _pass_over_warnings()
    from mamltui.cli import main
    from mamltui.errors import ExitCode
    from mamltui.processors import set_up_threads

    set_up_threads()

    code = int(ExitCode.INTERRUPTED)
    try:
        signal.signal(signal.SIGINT, answer)
        code = main()
    except KeyboardInterrupt:
        pass
    finally:
        _end_on_interrupt(answer)
    sys.exit(code)


def _end_on_interrupt(answer: object) -> None:
    if (
        answer is signal.default_int_handler
    ):  # else it is ignored, as by nohup and in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _pass_over_warnings() -> None:
    number = getattr(signal, "SIGUSR1", None)
    if number is not None and signal.getsignal(number) is signal.SIG_DFL:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    run_process()
