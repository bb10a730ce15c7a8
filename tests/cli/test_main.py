"""The ``mamltui`` command itself: help, unknown commands, errors, bugs, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui import __version__
from mamltui.cli import main
from mamltui.cli.group import COMMANDS, Command, load_command
from mamltui.errors import DataError, DivergedError, ProfileError

Install = Callable[[Callable[[], None]], None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a function the command ``mamltui trial``."""

    def install(function: Callable[[], None]) -> None:
        module = types.ModuleType("trial_command")
        module.trial = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "trial_command", module)
        monkeypatch.setitem(COMMANDS, "trial", Command("trial_command", "trial", "A trial."))

    return install


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert "Usage: mamltui" in output
    for name, listed in COMMANDS.items():
        assert name in output
        assert listed.help in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_there_and_has_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    usage = capsys.readouterr().out.partition("\n\n")[0]
    assert f"Usage: mamltui {name}" in usage
    assert "[[" not in usage and "...}" not in usage and "...]" not in usage


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_by_more_than_its_name(name: str) -> None:
    assert len(load_command(name).help or "") > 20


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mamltui {__version__}\n"


def test_without_arguments_and_terminal_it_says_what_to_do_instead(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the app needs a terminal" in captured.err
    assert "mamltui run quickstart --headless" in captured.err


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("rnu", "Did you mean `mamltui run`?"),
        ("evaluate", "Did you mean `mamltui eval`?"),
        ("quickstrat", "Did you mean `mamltui quickstart`?"),
        ("xyzzy", "The commands are app, serve, run, attach, eval"),
    ],
)
@pytest.mark.parametrize("more", [[], ["some-run"], ["5way1shot", "--headless"]])
def test_an_unknown_command_is_refused_with_what_was_meant(
    typed: str, hint: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed, *more]) == 2
    error = capsys.readouterr().err
    assert f"there is no command and no profile '{typed}'" in error
    assert hint in error


def test_a_profile_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["my.toml"]) == 2
    assert "my.toml: there is no such file" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frobnicate"]) == 2
    assert "--frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProfileError("alpha must be positive", where="a.toml:3", hint="try 0.4"), 2),
        (DataError("nothing there"), 3),
        (DivergedError("the loss is not a number"), 4),
    ],
)
def test_an_error_becomes_a_message_and_its_exit_code(
    error: Exception, code: int, command: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def trial() -> None:
        raise error

    command(trial)
    assert main(["trial"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(error.args[0]) in captured.err
    assert "Traceback" not in captured.err


def test_an_error_says_where_and_what_to_do(
    command: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def trial() -> None:
        raise ProfileError("alpha must be positive", where="a.toml:3", hint="try 0.4\nor 0.1")

    command(trial)
    main(["trial"])
    expected = "mamltui: error: a.toml:3: alpha must be positive\n  try 0.4\n  or 0.1\n"
    assert capsys.readouterr().err == expected


def _bug() -> None:
    raise ZeroDivisionError("nobody thought of this")


def test_a_bug_is_one_line_and_a_log_file_in_the_runs_folder(
    command: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    command(_bug)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert main(["trial"]) == 1
    error = capsys.readouterr().err
    assert "unexpected error: ZeroDivisionError: nobody thought of this" in error
    assert "Traceback" not in error
    (log,) = (tmp_path / "runs").iterdir()
    assert str(log.relative_to(tmp_path)) in error
    assert "Traceback (most recent call last)" in log.read_text()
    assert "in _bug" in log.read_text()


def test_without_a_runs_folder_the_log_goes_to_the_temporary_folder(
    command: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    command(_bug)
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert main(["trial"]) == 1
    (log,) = temporary.iterdir()
    assert str(log) in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_traceback_is_printed_when_asked_for(
    command: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    command(_bug)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("MAMLTUI_TRACEBACK", "1")
    assert main(["trial"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert list((tmp_path / "runs").iterdir()) == []


HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9bc\u202ed\rdone"


@pytest.mark.parametrize("kind", [DataError, ValueError])
def test_nothing_in_an_error_reaches_the_terminal_as_a_command(
    kind: Callable[[str], Exception],
    command: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Not of one that is expected, nor of a bug, nor of their tracebacks."""

    def fail() -> None:
        raise kind(HOSTILE)

    monkeypatch.chdir(tmp_path)
    command(fail)
    for traceback in ("0", "1"):
        monkeypatch.setenv("MAMLTUI_TRACEBACK", traceback)
        assert main(["trial"]) != 0
        error = capsys.readouterr().err
        assert "\\x1b[2J" in error
        assert error.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "arguments",
    [
        [f"--{HOSTILE}"],
        ["run", f"--{HOSTILE}"],
        ["run", "quickstart", "--headless", "--seed", HOSTILE],
        ["run", "quickstart", "--headless", "--set", HOSTILE],
        ["run", HOSTILE, "--headless"],
        ["run", "quickstart", "--headless", "--resume", HOSTILE],
        ["run", "quickstart", "--headless", "--out", f"/dev/null/{HOSTILE}"],
        ["runs", HOSTILE],
        ["runs", "list", "--out", HOSTILE],
        ["runs", "show", HOSTILE],
        ["profiles", "validate", HOSTILE],
        ["eval", HOSTILE],
        ["data", "fetch", HOSTILE],
        [HOSTILE],
    ],
)
def test_nothing_typed_comes_back_to_the_terminal_as_a_command(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    main(arguments)
    output = "".join(capsys.readouterr())
    assert output
    assert output.replace("\n", "").isprintable()


def test_an_interrupt_ends_with_130(command: Install, capsys: pytest.CaptureFixture[str]) -> None:
    def trial() -> None:
        raise KeyboardInterrupt

    command(trial)
    assert main(["trial"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """As in ``mamltui profiles list | head -1``, with a reader gone before the first word."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "mamltui", "profiles", "list"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert process.returncode == 1
    assert process.stderr == ""


def test_a_character_that_the_terminal_cannot_show_is_no_error() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "mamltui", "±"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert "\\xb1: there is no such file" in process.stderr


def test_the_module_runs_as_the_command_does() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "mamltui", "--version"], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (0, f"mamltui {__version__}\n")
