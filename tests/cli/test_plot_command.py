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
