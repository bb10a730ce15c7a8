"""The scripts that draw the pages' pictures still do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("make_pictures.py", ["--screen", "compare", "--wait", "0"], "mamltui: Compare"),
        ("make_picture.py", ["--until", "0.6"], "5way1shot --headless"),
    ],
)
def test_a_picture_is_drawn_of_a_reference_run(
    script: str, options: list[str], words: str, tmp_path: Path
) -> None:
    svg = tmp_path / "a.svg"
    where = ["--svg", str(svg)] if script == "make_pictures.py" else [str(svg)]
    command = [sys.executable, str(ROOT / "docs" / script), "fast-5way1shot", *where, *options]
    references = {"MAMLTUI_REFERENCE_DIR": str(ROOT / "runs" / "reference")}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | references,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    text = svg.read_text(encoding="utf-8").replace("&#160;", " ")
    assert words in text
    assert "@font-face" not in text
