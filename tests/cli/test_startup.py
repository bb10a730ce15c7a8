"""The command starts quickly, because it imports only what it needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mamltui.cli.group import COMMANDS

HEAVY = {"torch", "torchvision", "textual", "pydantic", "rich", "numpy", "PIL", "ray", "submitit"}
SCRIPT = """
import json, sys
from mamltui.cli import main
code = main({arguments!r})
names = sorted({{name.partition(".")[0] for name in sys.modules}})
print(json.dumps([code, names]), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The top-level packages that a process has imported when a command line has been run."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(process.stderr.splitlines()[-1])
    assert code == 0
    return set(modules)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_command_alone_imports_nothing_heavy(argument: str) -> None:
    assert imported(argument) & HEAVY == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    # The newest Typer itself takes pydantic to build a command.
    assert imported(command, "--help") & HEAVY <= {"pydantic"}


def test_a_command_about_profiles_does_without_torch() -> None:
    modules = imported("profiles", "list")
    assert "pydantic" in modules
    assert "torch" not in modules
