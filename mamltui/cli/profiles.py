"""``mamltui profiles``: list, show, check and write profiles, and explain their keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.output import narrate
from mamltui.errors import ExitCode, MamltuiError, ProfileError, UsageError

if TYPE_CHECKING:
    from mamltui.profiles import Profile

app = typer.Typer(
    help="List, show, check and write profiles; explain their keys.", no_args_is_help=True
)

ProfileArgument = Annotated[
    str, typer.Argument(metavar="PROFILE", help="A file, or the name of a packaged profile.")
]


@app.command("list")
def list_profiles() -> None:
    """List the packaged profiles by what they are for."""
    from mamltui.profiles import load_profile, packaged_profiles
    from mamltui.profiles.sources import purpose_of

    profiles = [load_profile(str(path)) for path in packaged_profiles().values()]
    rows = [("NAME", "WAY", "SHOT", "DATA SET", "ITERATIONS", "DESCRIPTION")]
    rows += [
        (
            profile.name,
            str(profile.task.at_test.way),
            str(profile.task.at_test.shot),
            profile.data.set,
            f"{profile.meta.iterations:,}",
            profile.description,
        )
        for profile in profiles
    ]
    name, way, shot, data, iterations, _ = (
        max(map(len, column)) for column in zip(*rows, strict=True)
    )
    purpose = ""
    for row in rows:
        if row is not rows[0] and purpose != (purpose := purpose_of(row[0])):
            typer.echo(f"{purpose}:")
        typer.echo(
            f"  {row[0]:<{name}}  {row[1]:>{way}}  {row[2]:>{shot}}  {row[3]:<{data}}  "
            f"{row[4]:>{iterations}}  {row[5]}"
        )


@app.command("show")
def show(profile: ProfileArgument) -> None:
    """Print a profile as TOML, with every key and what it means."""
    from mamltui.profiles import load_profile

    typer.echo(load_profile(profile).to_toml(template=True), nl=False)


@app.command("validate")
def validate(
    profiles: Annotated[
        list[str],
        typer.Argument(metavar="PROFILE", help="Files, or names of packaged profiles."),
    ],
) -> None:
    """Check profiles; exit code 2 if one of them is not valid."""
    from mamltui.profiles import load_profile
    from mamltui.text import visible

    invalid = 0
    for given in profiles:
        try:
            profile = load_profile(given)
        except ProfileError as error:
            invalid += 1
            narrate(str(error))
        else:
            typer.echo(f"{visible(given)}: valid, {_summary(profile)}")
    if invalid:
        narrate(f"{invalid} of {len(profiles)} not valid")
        raise typer.Exit(ExitCode.USAGE)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new profile.")],
    base: Annotated[
        str, typer.Option("--from", metavar="PROFILE", help="The profile to start from.")
    ] = "quickstart",
    out: Annotated[
        Path,
        typer.Option("--folder", "--out", metavar="DIR", help="The folder to write NAME.toml in."),
    ] = Path(),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as inner.steps=5."),
    ] = None,
) -> None:
    """Write a new profile, with every key and what it means, and print where it is."""
    from mamltui.profiles import load_profile, profile_name
    from mamltui.text import shortened

    stem = name.removesuffix(".toml")
    if stem != profile_name(stem):
        raise UsageError(
            "a profile's name is made of letters, digits and _ . -",
            where=name,
            hint=f"Such as: {profile_name(stem)}. For another folder use --folder DIR.",
        )
    overrides = overrides or []
    profile = load_profile(base, overrides)
    if not any(override.partition("=")[0].strip() == "description" for override in overrides):
        changes = f", with {', '.join(overrides)}" if overrides else ""
        description = shortened(f"From {profile.name}{changes}", most=250)
        profile = profile.model_copy(update={"description": description})
    path = out / f"{stem}.toml"
    _write_new(path, profile.to_toml(template=True))
    typer.echo(path)
    narrate(f"Start it with: mamltui run {path} --headless")


@app.command("schema")
def schema(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON Schema, for editors and programs.")
    ] = False,
) -> None:
    """Explain every key of a profile: default, unit, meaning, what is allowed."""
    if as_json:
        import json

        from mamltui.profiles import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
    else:
        _print_keys()


def _print_keys() -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mamltui.profiles import Profile, keys_of
    from mamltui.profiles.sources import EXTENDS, EXTENDS_HELP

    table = Table("KEY", "DEFAULT", "UNIT", "MEANING", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    table.add_row(Text(EXTENDS), Text("none"), Text("-"), Text(EXTENDS_HELP))
    section = ""
    for key in keys_of(Profile):
        if key.section != section:
            section = key.section
            table.add_row()
            table.add_row(Text(f"[{section}]"))
        table.add_row(
            Text(key.name),
            Text(key.default),
            Text(key.unit),
            Text(f"{key.description} Allowed: {key.allowed}."),
        )
    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no edge to wrap at; one line a key is easier to search.
        console.width = max(console.width, 300)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        typer.echo(line.rstrip())


def _summary(profile: Profile) -> str:
    return f"{profile.shape} on {profile.data.set}, {profile.meta.iterations:,} iterations"


def _write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet: whole, or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8", newline="\n")
        try:
            with file:
                file.write(text)
        except BaseException:
            path.unlink()
            raise
    except FileExistsError as error:
        raise UsageError(
            "it is there already, and is left as it is",
            where=str(path),
            hint="Choose another name, or remove the file first.",
        ) from error
    except OSError as error:
        raise MamltuiError(f"cannot be written: {error.strerror}", where=str(path)) from error
