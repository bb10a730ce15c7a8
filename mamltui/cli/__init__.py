"""The ``mamltui`` command: runs the command asked for, turns errors into messages and exit codes.

A command's module is imported when the command is called, not before: ``mamltui --help`` must
answer at once, and torch alone takes a second to import. Not even the parser is there before it is
needed: ``mamltui`` alone opens the app, whose first picture should not wait for it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mamltui import __version__
from mamltui.cli.output import narrate, tolerant_output
from mamltui.errors import DeviceError, ExitCode, MamltuiError, UsageError

TRACEBACK_VARIABLE = "MAMLTUI_TRACEBACK"
"""Set to 1, an error prints its traceback."""
SMALLER = "take a smaller data.image_size, fewer images, or fewer ways, shots and filters"
"""What helps where memory runs out, whatever is done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own) and return the exit code.

    Every ``MamltuiError`` becomes a message on stderr and its exit code. Anything else is a bug of
    mamltui: one line on stderr, the traceback in a log file, exit code 1. Output that cannot be
    written ends nothing, but what would have been a success ends with 1.
    """
    arguments = [_expanded(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    _forget_empty_sizes()
    with tolerant_output() as losses:
        try:
            code = _run(arguments)
        except KeyboardInterrupt:
            code = ExitCode.INTERRUPTED
        except MamltuiError as error:
            if _traceback_wanted():
                import traceback

                narrate(traceback.format_exc().rstrip())
            narrate(_message(error))
            code = error.exit_code
        except Exception as error:
            explained = _memory_error(error)
            if explained is not None:
                narrate(_message(explained))
                code = explained.exit_code
            else:
                _report_bug(error, arguments)
                code = ExitCode.FAILURE
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        lost = losses.error
        # A reader that goes away (``mamltui runs list | head``) has had enough, and knows it.
        if lost is not None and not isinstance(lost, BrokenPipeError):
            narrate(f"mamltui: error: some of the output could not be written: {lost.strerror}")
    return code if lost is None else code or ExitCode.FAILURE


def _expanded(argument: str) -> str:
    """``--out=~/runs`` as people mean it; shells expand the tilde only where a word begins."""
    option, equals, path = argument.partition("=")
    if option.startswith("--") and path.startswith("~"):
        return f"{option}{equals}{os.path.expanduser(path)}"  # noqa: PTH111 - as it is without a home
    return argument


def _forget_empty_sizes() -> None:
    """Some terminals and schedulers say that they have no columns, when they do not know."""
    for name in ("COLUMNS", "LINES"):
        if name in os.environ and not os.environ[name].strip("0 "):
            del os.environ[name]


def _check_device(arguments: Sequence[str]) -> None:
    """Answer names of devices that other programs know.

    Raises:
        UsageError: it is one of them.
    """
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name = value if option == "--device" else option.removeprefix("--device=")
        if option != "--device" and name == option:
            continue
        if name.startswith("cuda:"):
            number = name.removeprefix("cuda:")
            raise UsageError(
                "a GPU among several is chosen by a variable",
                where=f"--device {name}",
                hint=f"CUDA_VISIBLE_DEVICES={number} mamltui ... --device cuda",
            )
        if name in ("mps", "gpu", "rocm", "xpu"):
            raise UsageError(
                "mamltui computes on processors and on GPUs of CUDA",
                where=f"--device {name}",
                hint="Use --device cpu, or cuda; auto takes what is there.",
            )


def _run(arguments: list[str]) -> int:
    if not arguments:
        from mamltui.cli.opening import open_app
        from mamltui.tui.session.options import Options

        return open_app(Options())
    _check_device(arguments)
    import typer

    from mamltui.cli.group import app

    # The parser's own errors; its package is another one in each version of typer.
    usage_error: Any = typer.BadParameter.__mro__[2]
    try:
        code = typer.main.get_command(app).main(
            arguments, prog_name="mamltui", standalone_mode=False
        )
    except usage_error as error:
        # It shows arguments as they were typed.
        shown = io.StringIO()
        error.show(shown)
        narrate(shown.getvalue().rstrip())
        return int(error.exit_code)
    except typer.Abort:
        narrate("Aborted!")
        return ExitCode.FAILURE
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else ExitCode.DONE


def _message(error: MamltuiError) -> str:
    what = f"{error.where}: {error.what}" if error.where else error.what
    lines = [f"mamltui: error: {what}"]
    if error.hint:
        lines += [f"  {line}" for line in error.hint.splitlines()]
    return "\n".join(lines)


def _memory_error(error: Exception) -> DeviceError | None:
    """The error for people, if it is memory that ran out."""
    if "torch" not in sys.modules:  # which would take more of it
        if not isinstance(error, MemoryError):
            return None
        return DeviceError(
            "the machine is out of memory", hint=f"Close other programs, or {SMALLER}."
        )
    from mamltui.maml.memory import memory_error

    return memory_error(error, SMALLER)


def _traceback_wanted() -> bool:
    return os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0")


def _report_bug(error: Exception, arguments: list[str]) -> None:
    """Say that mamltui failed, and leave what its developers need in a file."""
    import time
    import traceback

    what = f"{type(error).__name__}: {error}".splitlines()[0]
    details = "".join(traceback.format_exception(error))
    if _traceback_wanted() or "-v" in arguments or "--verbose" in arguments:
        narrate(f"{details}mamltui: unexpected error: {what}")
        return
    header = f"mamltui {__version__}, Python {sys.version}\narguments: {arguments}\n\n"
    file = _log_folder(arguments) / f"mamltui-error-{time.strftime('%Y%m%d-%H%M%S')}.log"
    try:
        file.write_text(header + details, encoding="utf-8")
    except OSError:
        narrate(f"{details}mamltui: unexpected error: {what}")
        return
    narrate(
        f"mamltui: unexpected error: {what}\n  This is a bug of mamltui. The traceback is in {file}"
    )


def _log_folder(arguments: list[str]) -> Path:
    """The runs folder of this command if there is one, else the folder for temporary files."""
    runs = Path(os.environ.get("MAMLTUI_RUNS_DIR") or "runs")
    for position, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option not in ("--runs-dir", "--out"):
            continue
        if value:
            runs = Path(value)
        elif position + 1 < len(arguments):
            runs = Path(arguments[position + 1])
    if runs.is_dir():
        return runs
    import tempfile

    return Path(tempfile.gettempdir())
