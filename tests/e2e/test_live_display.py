"""The live display of the real command, in a real terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.tiny import RUN, make_place
from tests.e2e.screen import run_in_terminal

LONGER = [
    "--set",
    "validation.interval=200",
    "--set",
    "run.log_interval=5",
    "--set",
    "run.checkpoint_interval=200",
]
LASTING = ["--workers", "1", "--device", "cpu", "--iterations", "400"]
"""Cells that last for several frames, on a fast machine too."""


@pytest.mark.parametrize("columns", [80, 40])
def test_the_display_stays_in_place_and_ends_tidy(columns: int, tmp_path: Path) -> None:
    place = make_place(tmp_path)
    code, screen, screens = run_in_terminal(
        [*RUN, *LONGER, "--set", "meta.iterations=400"], place, columns=columns
    )
    text = "\n".join(screen.lines)
    assert code == 0, text
    assert screen.cursor_shown
    assert any("training" in line for lines in screens for line in lines)
    labels = [line.split()[0] for line in screen.lines if line]
    for label in ("loss", "accuracy", "validation", "gradient", "run"):
        assert labels.count(label) == 1, f"{label} is not there once:\n{text}"
    headline = next(line for line in screen.lines if line.startswith("3-way 1-shot on folder"))
    assert headline.rstrip().endswith("finished")
    assert "400 / 400" in text
    assert "100.0 %" in text
    assert max(map(len, screen.lines)) <= columns
    assert "transductive" in text
    assert "kept in runs/" in text


def test_the_progress_grows_while_it_is_shown(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    # Enough for several of the four frames a second.
    code, _, screens = run_in_terminal(
        [*RUN, *LONGER, "--set", "meta.iterations=800"], place, columns=80
    )
    assert code == 0
    done = [
        int(line.split(" / 800")[0].split()[-1].replace(",", ""))
        for lines in screens
        for line in lines
        if " / 800" in line
    ]
    assert done == sorted(done)
    assert len(set(done)) >= 3


def test_verbose_is_lines_in_a_terminal_too(tmp_path: Path) -> None:
    code, screen, _ = run_in_terminal([*RUN, "-v"], make_place(tmp_path), columns=200)
    assert code == 0
    assert sum("iteration " in line and "loss" in line for line in screen.lines) >= 6


def test_a_study_stays_in_place_while_it_runs_and_ends_with_its_table(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    (place / "small.toml").write_text('extends = "tiny.toml"\n[grid]\ninner.alpha = [0.1, 0.4]\n')
    code, screen, screens = run_in_terminal(
        ["study", "run", "small.toml", *LASTING], place, columns=80
    )
    assert code == 0, "\n".join(screen.lines)
    assert screen.cursor_shown
    frames = [lines for lines in screens if any("elapsed" in line for line in lines)]
    lines_of_all = [line for lines in frames for line in lines]
    assert any("tiny-alpha0.1-seed0" in line and "running" in line for line in lines_of_all)
    for lines in frames:
        assert sum("study small, 1 worker of" in line for line in lines) == 1
    # Nothing of it is left above the table of results.
    assert not any("study small" in line for line in screen.lines)
    assert [line.split()[1] for line in screen.lines if line.startswith("tiny-")] == ["done"] * 2
    assert any("small: 2 of 2 cells over: 2 done" in line for line in screen.lines)
