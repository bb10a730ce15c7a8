"""Arrows point one way: the import contracts of pyproject.toml hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).parents[1]


def test_the_import_contracts_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    broken = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert broken == 0, capsys.readouterr().out


def test_only_displays_and_commands_know_rich() -> None:
    knowing = {
        path.relative_to(REPOSITORY).parts[1].removesuffix(".py")
        for path in (REPOSITORY / "mamltui").rglob("*.py")
        if "import rich" in path.read_text() or "from rich" in path.read_text()
    }
    assert knowing <= {"cli", "headless", "tui"}
