"""What a shell is offered for the word at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.cli.completion import candidates
from mamltui.profiles import Profile
from mamltui.runs import RunFolder


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the only run there is."""
    monkeypatch.setenv("MAMLTUI_RUNS_DIR", str(tmp_path))
    made = RunFolder.create(Profile(name="small"), tmp_path)
    made.release()
    return made.name


def test_commands_and_their_own_are_offered() -> None:
    assert candidates(["ru"]) == ["run", "runs"]
    assert "5way1shot" in candidates(["5way"])
    assert {"list", "rm", "star"} <= set(candidates(["runs", ""]))
    assert candidates(["nothing", ""]) == []


def test_options_are_offered_and_their_values(run: str) -> None:
    assert candidates(["run", "quickstart", "--resu"]) == ["--resume"]
    assert candidates(["run", "quickstart", "--resume", ""]) == [run, "auto"]
    assert candidates(["run", "quickstart", "--format", "j"]) == ["jsonl"]
    assert candidates(["run", "--headless", "quick"]) == ["quickstart"]


def test_names_are_offered_where_they_may_stand(run: str) -> None:
    assert candidates(["attach", "sm"]) == [run]
    assert candidates(["eval", run, ""]) == [run]
    assert candidates(["runs", "steer", run, "p"]) == ["pause"]
    assert candidates(["runs", "show", run, ""]) == []
    assert "quick" in candidates(["study", "run", "qui"])


def test_each_shell_has_its_script(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"# mamltui completion {shell} >") and "completion words --" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_the_name_of_a_run(run: str) -> None:
    script = f"""
        mamltui() {{ {sys.executable} -m mamltui "$@"; }}
        source <(mamltui completion bash)
        COMP_WORDS=(mamltui runs show sm) COMP_CWORD=3
        _mamltui
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == run


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize(("typed", "offered"), [("runs show sm", True), ("nothing ''", False)])
def test_zsh_completes_the_name_of_a_run(run: str, typed: str, offered: bool) -> None:
    script = f"""
        mamltui() {{ {sys.executable} -m mamltui "$@"; }}
        compdef() {{ :; }}; _files() {{ :; }}
        compadd() {{ print -l -- "${{(@P)2}}"; }}
        source <(mamltui completion zsh)
        words=(mamltui {typed}); CURRENT=$#words
        _mamltui
    """
    done = subprocess.run(
        ["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == (run if offered else "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_the_name_of_a_run(run: str) -> None:
    script = f"""
        function mamltui; {sys.executable} -m mamltui $argv; end
        mamltui completion fish | source
        complete -C "mamltui runs show sm"
    """
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stdout.split() == [run]
