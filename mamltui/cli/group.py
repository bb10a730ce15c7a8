"""The commands of ``mamltui``, and how each is found without importing the others."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from mamltui import __version__
from mamltui.errors import UsageError


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
    "serve": Command("mamltui.cli.serve", "serve", "Serve the app to browsers of this machine."),
    "run": Command(
        "mamltui.cli.run", "run", "Train from a profile, evaluate, and compare with publications."
    ),
    "attach": Command("mamltui.cli.app", "attach", "Watch a run of another process in the app."),
    "eval": Command(
        "mamltui.cli.evaluate", "evaluate", "Evaluate runs after each number of inner steps."
    ),
    "adapt": Command(
        "mamltui.cli.adapt", "adapt", "Classify images of your own, from a few that are labelled."
    ),
    "sine": Command(
        "mamltui.cli.sine", "sine", "See what MAML does in ten seconds, on sine waves."
    ),
    "import": Command(
        "mamltui.cli.importing", "import_file", "Make a run of weights that were trained elsewhere."
    ),
    "draw": Command("mamltui.cli.app", "draw", "Draw classes yourself, and have a run answer."),
    "runs": Command(
        "mamltui.cli.runs", "app", "List, show, compare, name, tag, export and remove runs."
    ),
    "study": Command("mamltui.cli.study", "app", "Run, watch and report sets of experiments."),
    "queue": Command("mamltui.cli.queue", "app", "Queue trainings, one after another."),
    "plot": Command("mamltui.cli.plot", "plot", "Draw the curves of runs as SVG or PNG."),
    "profiles": Command(
        "mamltui.cli.profiles", "app", "List, show, check and write profiles; explain their keys."
    ),
    "data": Command("mamltui.cli.data", "app", "Show, fetch and verify the data sets."),
    "verify": Command(
        "mamltui.cli.checks", "verify", "Check the second-order gradients on this machine."
    ),
    "completion": Command(
        "mamltui.cli.completion", "completion", "Print completion for bash, zsh or fish."
    ),
    "doctor": Command("mamltui.cli.checks", "doctor", "Show what mamltui finds on this machine."),
}

SYNONYMS = {
    "train": "run",
    "evaluate": "eval",
    "test": "eval",
    "score": "eval",
    "watch": "attach",
    "classify": "adapt",
    "predict": "adapt",
}
"""What people call a command otherwise."""
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
            if args:  # before words after it are refused as those of the app
                _check_first_word(args[0])
            args = ["app", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


def _check_first_word(word: str) -> None:
    """Refuse a word that is no command and can be no profile, with what may have been meant.

    Raises:
        UsageError: it is such a word.
    """
    from mamltui.profiles.sources import packaged_profiles

    if not word.isidentifier() or Path(word).exists() or word in packaged_profiles():
        return
    from difflib import get_close_matches

    meant = SYNONYMS.get(word)
    near = [meant] if meant else get_close_matches(word, [*COMMANDS, *packaged_profiles()], n=1)
    known = f"The commands are {', '.join(COMMANDS)}; profiles: mamltui profiles list."
    raise UsageError(
        f"there is no command and no profile {word!r}",
        hint=f"Did you mean `mamltui {near[0]}`?" if near else known,
    )


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
