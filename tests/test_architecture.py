"""Arrows point one way: the import contracts of pyproject.toml hold."""

from __future__ import annotations

import re
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


PAGE = REPOSITORY / "docs" / "architecture.md"


def test_the_page_on_the_architecture_names_what_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:mamltui|tests)/[\w/]*(?:\.\w+)?)`", text))
    assert len(paths) > 30
    assert [path for path in sorted(paths) if not (REPOSITORY / path).exists()] == []
    named = re.findall(r"`(mamltui/[\w/]+\.py)`(?:,| \()\s?((?:`[\w.]+`(?:, )?)+)", text)
    assert len(named) > 25
    for path, names in named:
        source = (REPOSITORY / path).read_text(encoding="utf-8")
        for name in re.findall(r"[\w.]+", names):
            for part in name.split("."):
                assert re.search(rf"(def|class) {part}\b", source), f"{name} in {path}"


def test_only_displays_and_commands_know_rich() -> None:
    knowing = {
        path.relative_to(REPOSITORY).parts[1].removesuffix(".py")
        for path in (REPOSITORY / "mamltui").rglob("*.py")
        if "import rich" in path.read_text() or "from rich" in path.read_text()
    }
    assert knowing <= {"cli", "headless", "tui"}
