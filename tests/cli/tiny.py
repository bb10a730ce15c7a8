"""A training of a second on images that cost nothing to make."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.run_folders import write_characters

PROFILE = """
description = "Six iterations."

[data]
set = "folder"
path = "characters"
image_size = 12

[task]
way = 3
shot = 1

[network]
filters = 4

[inner]
test_steps = 2

[meta]
batch = 2
iterations = 6

[validation]
interval = 3
episodes = 4

[evaluation]
steps = "0..3"
episodes = 6

[run]
log_interval = 1
checkpoint_interval = 2
"""
RUN = ["run", "tiny.toml", "--headless", "--device", "cpu"]


def make_place(folder: Path) -> Path:
    """``folder`` with the profile ``tiny.toml`` and the ``characters`` that it names."""
    write_characters(folder / "characters")
    (folder / "tiny.toml").write_text(PROFILE)
    return folder


def copy_place(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target


def only_run(place: Path) -> Path:
    """The one run folder in ``runs``."""
    (run,) = (path for path in (place / "runs").iterdir() if path.is_dir())
    return run
