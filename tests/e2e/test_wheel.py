"""The wheel: what is installed carries the profiles and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_the_profiles_and_the_published_figures(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    profiles = {f"mamltui/packaged_profiles/{path.name}" for path in profile_files()}
    assert len(profiles) >= 5
    assert profiles <= names
    assert "mamltui/published.toml" in names
    assert not any(name.startswith(("tests/", "runs/")) for name in names)


def profile_files() -> list[Path]:
    return sorted((REPOSITORY / "profiles").glob("*.toml"))


def run_installed(wheel: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the unpacked wheel in an empty folder."""
    site, folder = tmp_path / "site", tmp_path / "elsewhere"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    folder.mkdir()
    script = (
        "import sys, mamltui; from mamltui.cli import main; "
        "print(mamltui.__file__, file=sys.stderr); sys.exit(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("MAMLTUI_REFERENCE_DIR", None)
    process = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert str(site) in process.stderr
    assert list(folder.iterdir()) == []
    return process


def test_the_installed_command_plans_the_quickstart_from_another_folder(
    wheel: Path, tmp_path: Path
) -> None:
    process = run_installed(wheel, tmp_path, "run", "quickstart", "--headless", "--dry-run")
    assert 'name = "quickstart"' in process.stdout


def test_the_installed_command_lists_the_reference_runs(wheel: Path, tmp_path: Path) -> None:
    process = run_installed(wheel, tmp_path, "runs", "list")
    shipped = REPOSITORY / "runs" / "reference"
    names = {path.parent.name for path in shipped.glob("*/run.json")}
    listed = [line.split()[:2] for line in process.stdout.splitlines()[1:]]
    assert {name for name, state in listed if state == "reference"} == names
