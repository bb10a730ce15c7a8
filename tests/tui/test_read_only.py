"""The app that only reads: what it does not do, and that every new key is decided on."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from textual.binding import Binding

from mamltui.errors import UsageError
from mamltui.profiles import Profile, load_profile
from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.queue.dialog import QueueDialog
from mamltui.tui.shared.status_line import SCREENS
from tests.tui.conftest import screen_text, until

MakeApp = Callable[..., MamltuiApp]
READING = """
    filter clear_filter forget_filter mark compare fold pane list metric smooth log_axis show_table
    zoom cursor step task go_to source split alpha steps as_profile query no_query next_error worst
    confusion ask_steps ask_episodes statistics shown choose baseline back follow problems end leave
    draw slot open add way
"""


@pytest.mark.parametrize("name", [*SCREENS, "queue"])
def test_every_key_of_a_screen_reads_or_is_left_out(name: str) -> None:
    """A new action belongs in ``CHANGES`` of its screen if it writes, trains or steers."""
    kind = QueueDialog
    if name != "queue":
        kind = getattr(import_module(f"mamltui.tui.{name}.screen"), f"{name.title()}Screen")
    actions = {
        binding.action.partition("(")[0]
        for binding in kind.BINDINGS
        if isinstance(binding, Binding) and "." not in binding.action
    }
    unknown = actions - kind.CHANGES - {*READING.split()}
    # Two are called as those of other screens that write.
    assert unknown - {"evaluate": {"checkpoint"}, "draw": {"rename"}}.get(name, set()) == set()
    assert actions >= kind.CHANGES


async def test_nothing_is_started_and_no_setting_is_kept(place: Path, make_app: MakeApp) -> None:
    app = make_app(read_only=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "quickstart" in screen_text(app))
        assert "read only" in screen_text(app)
        await pilot.press("r", "n")
        await pilot.press("2", "s")
        assert app.session.training is None and len(app.screen_stack) == 1
        with pytest.raises(UsageError, match="only reads"):
            app.session.start(Profile(), "quickstart")
    assert not list(place.rglob("app.json")) and not (place / "runs").exists()


async def test_no_key_is_offered_that_does_nothing(
    make_run: Callable[..., RunFolder], make_app: MakeApp
) -> None:
    run = make_run("stopped")
    run.update(state="interrupted", iterations=80)
    app = make_app(read_only=True, attach=run.name)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "interrupted" in screen_text(app).splitlines()[1])
        assert "Press r" not in screen_text(app)
        await pilot.press("4")
        await until(pilot, lambda: "not measured" in screen_text(app))
        assert "r evaluates" not in screen_text(app)
        await pilot.press("1")
        await until(pilot, lambda: "interrupted  stopped" in screen_text(app))
        assert "R resumes" not in screen_text(app)
        app.session.stage(load_profile("tiny.toml"), "tiny.toml")
        await pilot.press("2")
        await until(pilot, lambda: "ready" in screen_text(app).splitlines()[1])
        assert "Press r" not in screen_text(app)
