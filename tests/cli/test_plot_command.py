"""``mamltui plot``: pictures of runs, whole and of the kind that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.cli import main
from tests.training.small import make_run, train


def test_runs_become_an_svg_with_their_names_and_a_png(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "runs")
    train(run)
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    assert main(["plot", str(run.path), "--svg", str(svg), "--png", str(png)]) == 0
    assert capsys.readouterr().out.split() == [str(svg), str(png)]
    assert "validation" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_or_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "runs")
    assert main(["plot", str(run.path)]) == 2
    assert "a file to write is needed" in capsys.readouterr().err
    assert main(["plot", str(run.path), "--svg", str(tmp_path / "a.svg")]) == 2
    assert "nothing has been logged yet" in capsys.readouterr().err
    train(run)
    assert main(["plot", str(run.path), "--svg", str(tmp_path / "no" / "a.svg")]) == 1
    assert "make its folder first" in capsys.readouterr().err
    assert main(["plot", "nowhere", "--svg", str(tmp_path / "a.svg")]) == 3


def test_minutes_are_drawn_beside_a_csv_of_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "runs")
    train(run)
    svg, other = tmp_path / "a.svg", tmp_path / "other.csv"
    other.write_text("minutes,iteration,accuracy\n0.5,10,41.5\n1.5,30,77\n")
    command = ["plot", str(run.path), str(other), "--svg", str(svg)]
    assert main([*command, "--minutes"]) == 0
    drawn = svg.read_text()
    assert ">minutes of training<" in drawn and ">other</text>" in drawn
    assert "iterations" not in drawn
    other.write_text("minutes,core_minutes,accuracy\n0.5,0.4,41.5\n1.5,1.2,77\n")
    assert main([*command, "--minutes"]) == 0
    assert ">core minutes of training<" in svg.read_text()
    capsys.readouterr()
    assert main(command) == 2
    assert "--minutes alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minutes,correct\n1,2\n", "there is no column accuracy"),
        ("minutes,accuracy\n1,2\n2,much\n", "other.csv:3: two numbers are needed"),
        ("minutes,accuracy\n1\n", "other.csv:2: two numbers are needed"),
        ("minutes,accuracy\n1,nan\n", "other.csv:2: two numbers are needed"),
        ("", "there is no column minutes and no column accuracy"),
    ],
)
def test_a_csv_that_cannot_be_drawn_is_told_with_its_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text(text)
    command = ["plot", str(other), "--minutes", "--svg", str(tmp_path / "a.svg")]
    assert main(command) == 2
    assert message in capsys.readouterr().err
