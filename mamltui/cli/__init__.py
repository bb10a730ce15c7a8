"""The ``mamltui`` command: runs the command asked for, turns errors into messages and exit codes.

A command's module is imported when the command is called, not before: ``mamltui --help`` must
answer at once, and torch alone takes a second to import.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from mamltui import __version__
from mamltui.errors import ExitCode, MamltuiError

TRACEBACK_VARIABLE = "MAMLTUI_TRACEBACK"
"""Set to 1, an error prints its traceback."""


class Command(NamedTuple):
    """Where a command lives, and what the help says of it."""

    module: str
    attribute: str
    """A function, or a ``typer.Typer`` with commands of its own."""
    help: str


COMMANDS: dict[str, Command] = {
    "app": Command(
        "mamltui.cli.app", "app", "Open the terminal app; the same as mamltui [PROFILE]."
    ),
    "run": Command(
        "mamltui.cli.run", "run", "Train from a profile, evaluate, and compare with publications."
    ),
    "attach": Command("mamltui.cli.app", "attach", "Watch a run of another process in the app."),
    "eval": Command(
        "mamltui.cli.evaluate", "evaluate", "Evaluate runs after each number of inner steps."
    ),
    "runs": Command("mamltui.cli.runs", "app", "List, show, compare, export and remove runs."),
    "profiles": Command(
        "mamltui.cli.profiles", "app", "List, show, check and write profiles; explain their keys."
    ),
    "data": Command("mamltui.cli.data", "app", "Show, fetch and verify the data sets."),
    "verify": Command(
        "mamltui.cli.checks", "verify", "Check the second-order gradients on this machine."
    ),
    "doctor": Command("mamltui.cli.checks", "doctor", "Show what mamltui finds on this machine."),
}

ROOT_OPTIONS = ("-h", "--help", "--version")


class LazyGroup(TyperGroup):
    """A group that knows its commands' help without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Without a command the app opens, perhaps with a profile: mamltui my.toml --device cpu
        if not args or (args[0] not in COMMANDS and args[0] not in ROOT_OPTIONS):
            args = ["app", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


def load_command(name: str) -> Any:
    """Import the module of command ``name`` and give its command object."""
    command = COMMANDS[name]
    target = getattr(import_module(command.module), command.attribute)
    if isinstance(target, typer.Typer):
        app = target
    else:
        app = typer.Typer()
        app.command(name)(target)
    # Plain help for every command alike, whatever its module chose: rich's takes 0.1 s longer.
    app.rich_markup_mode = None
    app._add_completion = False
    return typer.main.get_command(app)


app = typer.Typer(
    name="mamltui",
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mamltui {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Train and evaluate Model-Agnostic Meta-Learning (MAML) in the terminal.

    mamltui opens the app; mamltui run quickstart --headless trains without it.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own) and return the exit code.

    Every ``MamltuiError`` becomes a message on stderr and its exit code. Anything else is a bug of
    mamltui: one line on stderr, the traceback in a log file, exit code 1.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show is no reason to end.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
    except BrokenPipeError:
        code = ExitCode.FAILURE
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except MamltuiError as error:
        if _traceback_wanted():
            traceback.print_exc()
        _say(_message(error))
        code = error.exit_code
    except Exception as error:
        _report_bug(error, arguments)
        code = ExitCode.FAILURE
    return code if _reached_readers() else ExitCode.FAILURE


def _reached_readers() -> bool:
    """Whether all output could be written: its reader may have gone (``mamltui runs list | head``).

    What is left is dropped, or the interpreter would complain about it at its end.
    """
    reached = True
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed before the start
        try:
            stream.flush()
        except BrokenPipeError:
            reached = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return reached


def _run(arguments: list[str]) -> int:
    # In its standalone mode the parser says itself what is wrong with the usage, and exits.
    try:
        typer.main.get_command(app).main(arguments, prog_name="mamltui")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.DONE
    return ExitCode.DONE


def _message(error: MamltuiError) -> str:
    what = f"{error.where}: {error.what}" if error.where else error.what
    lines = [f"mamltui: error: {what}"]
    if error.hint:
        lines += [f"  {line}" for line in error.hint.splitlines()]
    return "\n".join(lines)


def _say(message: str) -> None:
    with suppress(BrokenPipeError):
        print(message, file=sys.stderr, flush=True)


def _traceback_wanted() -> bool:
    return os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0")


def _report_bug(error: Exception, arguments: list[str]) -> None:
    """Say that mamltui failed, and leave what its developers need in a file."""
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    details = "".join(traceback.format_exception(error))
    if _traceback_wanted() or "-v" in arguments or "--verbose" in arguments:
        _say(f"{details}mamltui: unexpected error: {what}")
        return
    header = f"mamltui {__version__}, Python {sys.version}\narguments: {arguments}\n\n"
    file = _log_folder(arguments) / f"mamltui-error-{time.strftime('%Y%m%d-%H%M%S')}.log"
    try:
        file.write_text(header + details, encoding="utf-8")
    except OSError:
        _say(f"{details}mamltui: unexpected error: {what}")
        return
    _say(
        f"mamltui: unexpected error: {what}\n  This is a bug of mamltui. The traceback is in {file}"
    )


def _log_folder(arguments: list[str]) -> Path:
    """The runs folder of this command if there is one, else the folder for temporary files."""
    runs = Path(os.environ.get("MAMLTUI_RUNS_DIR") or "runs")
    for position, argument in enumerate(arguments):
        if argument == "--out" and position + 1 < len(arguments):
            runs = Path(arguments[position + 1])
        elif argument.startswith("--out="):
            runs = Path(argument.removeprefix("--out="))
    return runs if runs.is_dir() else Path(tempfile.gettempdir())
