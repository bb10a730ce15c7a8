"""``mamltui completion``: scripts that complete commands, options, profiles, runs and studies."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import Annotated, Any

import typer


class Shell(str, Enum):
    """What the script is for; ``words`` is what the scripts ask."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"
    words = "words"


SCRIPTS = {
    Shell.bash: """\
# mamltui completion bash >> ~/.bashrc
_mamltui() {
    local IFS=$'\\n'
    COMPREPLY=($(mamltui completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _mamltui mamltui
""",
    Shell.zsh: """\
# mamltui completion zsh >> ~/.zshrc, after compinit
_mamltui() {
    local -a found
    found=("${(@f)$(mamltui completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found
    _files
}
compdef _mamltui mamltui
""",
    Shell.fish: """\
# mamltui completion fish > ~/.config/fish/completions/mamltui.fish
function __mamltui_words
    mamltui completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c mamltui -a '(__mamltui_words)'
""",
}


def completion(
    shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="Of words: what is typed.")
    ] = None,
) -> None:
    """Print a script that completes commands, options and names in your shell.

    Its first line says where it goes.
    """
    if shell is Shell.words:
        for candidate in candidates(words or []):
            typer.echo(candidate)
    else:
        typer.echo(SCRIPTS[shell], nl=False)


def candidates(words: list[str]) -> list[str]:
    """What may stand in place of the last word, which may be empty; none is no reason to fail."""
    from mamltui.cli.group import COMMANDS, load_command

    *before, current = words or [""]
    if not before:
        return _fitting([*COMMANDS, *_profiles()], current)
    if before[0] not in COMMANDS:
        return []
    command, rest = load_command(before[0]), before[1:]
    commands = getattr(command, "commands", None)
    if commands is not None:
        if not rest:
            return _fitting(list(commands), current)
        command, rest = commands.get(rest[0]), rest[1:]
    if command is None:
        return []
    options = {name: each for each in command.params for name in each.opts if name.startswith("-")}
    if current.startswith("-"):
        return _fitting([name for name in options if name.startswith("--")], current)
    last = options.get(rest[-1]) if rest else None
    if last is not None and not last.is_flag:
        return _fitting(_values(last), current)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    given = _arguments_given(rest, options)
    if not arguments:
        return []
    asked = arguments[min(given, len(arguments) - 1)]
    if given >= len(arguments) and asked.nargs != -1:
        return []
    return _fitting(_values(asked), current)


def _arguments_given(words: list[str], options: dict[str, Any]) -> int:
    """How many of the words are neither options nor their values."""
    count, is_value = 0, False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-"):
            option = options.get(word)
            is_value = option is not None and not option.is_flag
        else:
            count += 1
    return count


def _values(parameter: Any) -> list[str]:
    """What a parameter may be, as far as that can be listed; files are the shell's to know."""
    if choices := _choices(parameter):
        return choices
    meant = parameter.metavar or ""
    if "PROFILE" in meant:
        return _profiles()
    if "RUN" in meant:
        return _runs() + (["auto"] if "auto" in meant else [])
    return _studies() if "STUDY" in meant else []


def _choices(parameter: Any) -> list[str]:
    """The values of an enumeration, as Typer's earlier and later versions keep them."""
    choices = getattr(getattr(parameter, "type", None), "choices", None)
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if choices is None and isinstance(kind, type) and issubclass(kind, Enum):
        choices = list(kind)
    return [str(getattr(choice, "value", choice)) for choice in choices or ()]


def _profiles() -> list[str]:
    from mamltui.profiles import packaged_profiles

    return list(packaged_profiles())


def _runs() -> list[str]:
    from mamltui.errors import MamltuiError
    from mamltui.runs import RunCatalogue

    with suppress(MamltuiError):
        return [run.name for run in RunCatalogue(references=True).read()]
    return []


def _studies() -> list[str]:
    from mamltui.studies.reading import packaged_studies

    return list(packaged_studies())


def _fitting(names: list[str], beginning: str) -> list[str]:
    """Those that begin so; without any that a shell would take for several words."""
    return [
        name
        for name in names
        if name.startswith(beginning) and name.isprintable() and not any(map(str.isspace, name))
    ]
