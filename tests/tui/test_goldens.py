"""Every screen as text at two sizes, line by line.

``MAMLTUI_UPDATE_GOLDENS=1 pytest tests/tui/test_goldens.py`` writes them anew: see what changed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mamltui.profiles import packaged_profiles
from mamltui.tui.app import MamltuiApp
from tests.tui.conftest import final_text, screen_text, until
from tests.tui.told import NAME, told_run

MakeApp = Callable[..., MamltuiApp]
GOLDENS = Path(__file__).parent / "goldens"
OTHER = "tiny-20260131-162501-77aa"


@pytest.fixture
def told(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place with two runs, in a zone of time where a day has no surprises."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    told_run(place / "runs")
    told_run(place / "runs", OTHER, shift=0.05)
    yield place
    monkeypatch.undo()
    time.tzset()


def masked(text: str, screen: str) -> str:
    """Without what is another on every machine: where profiles are, and its memory."""
    folder = str(next(iter(packaged_profiles().values())).parent)
    text = re.sub(re.escape(folder)[:20] + r"\S*", "PROFILES", text)
    if screen == "log":
        lines = text.splitlines()
        assert lines[1].startswith(" cpu, ")
        text = "\n".join([lines[0], "MACHINE", *lines[2:]])
    return text + "\n"


@pytest.mark.parametrize("size", [(80, 24), (160, 45)], ids=["80x24", "160x45"])
@pytest.mark.parametrize(
    ("screen", "keys", "words"),
    [
        ("home", "1", "* is not the default"),
        ("train", "2", "finished"),
        ("evaluate", "4", "best of all"),
        ("compare", "5t", "best validation"),
        ("log", "6", "finished"),
    ],
)
async def test_a_screen_looks_as_it_did(
    screen: str, keys: str, words: str, size: tuple[int, int], told: Path, make_app: MakeApp
) -> None:
    assert told.exists()
    app = make_app(attach=NAME)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.current_mode == "train" and "finished" in screen_text(app))
        app.session.marked = [NAME, OTHER]
        await pilot.press(*keys)
        await until(pilot, lambda: words in (text := screen_text(app)) and "reading" not in text)
        seen = masked(await final_text(app), screen)
    golden = GOLDENS / f"{screen}-{size[0]}x{size[1]}.txt"
    if os.environ.get("MAMLTUI_UPDATE_GOLDENS"):
        GOLDENS.mkdir(exist_ok=True)
        golden.write_text(seen, encoding="utf-8")
    assert seen == golden.read_text(encoding="utf-8")
