"""The profile editor: what it begins with, what it says of mistakes, what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from mamltui.profiles import load_profile
from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.home import drafts
from mamltui.tui.home.editor import EditorScreen, ProfileArea
from mamltui.tui.shared.dialogs import Confirm
from tests.tui.conftest import SIZES, screen_text, until
from tests.tui.home_place import at_cursor, go_to, line_of, listed

MakeApp = Callable[..., MamltuiApp]


async def open_editor(pilot: Pilot[Any], name: str, key: str) -> ProfileArea:
    """Press ``n`` or ``e`` on a profile of Home."""
    await listed(pilot)
    await go_to(pilot, name)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
    area = pilot.app.screen.query_one(ProfileArea)
    await until(pilot, lambda: area.has_focus)
    return area


async def type_at(pilot: Pilot[Any], area: ProfileArea, line: int, text: str) -> None:
    """Put ``text`` before what is on a line, from 1."""
    area.move_cursor((line - 1, 0))
    await pilot.press(*text)


def own_profile(place: Path, name: str, text: str) -> Path:
    path = place / "profiles" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


async def test_tab_goes_between_text_and_file_name_alone(place: Path, make_app: MakeApp) -> None:
    assert place.is_dir()
    app = make_app()
    async with app.run_test(size=(80, 12)) as pilot:
        area = await open_editor(pilot, "tiny", "n")
        for field in (app.screen.query_one("#path", Input), area) * 2:
            await pilot.press("tab")
            assert app.focused is field


@pytest.mark.parametrize("size", SIZES)
async def test_a_new_profile_begins_with_the_values_of_another_and_is_at_the_cursor_when_saved(
    size: tuple[int, int], place: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        area = await open_editor(pilot, "tiny", "n")
        assert app.screen.query_one("#path", Input).value == "tiny-2.toml"
        line = area.text.splitlines().index("shot = 1")
        area.move_cursor((line, len("shot = 1")))
        await pilot.press("backspace", "2", "ctrl+o")
        await until(pilot, lambda: app.current_mode == "home" and at_cursor(pilot) == "tiny-2")
        assert "›  tiny-2" in screen_text(app)
    saved, origin = load_profile(str(place / "tiny-2.toml")), load_profile(str(place / "tiny.toml"))
    assert saved.name == "tiny-2"
    assert saved.task.shot == 2
    assert saved.task.query == 2  # which follows shot, as it did
    assert (saved.inner, saved.meta, saved.data) == (origin.inner, origin.meta, origin.data)


async def test_the_file_is_what_was_typed_byte_for_byte(place: Path, make_app: MakeApp) -> None:
    text = "# über  \r\n[inner]\r\nsteps=2\t# two\r\n\r\n"
    path = own_profile(place, "mine", text)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        area = await open_editor(pilot, "mine", "e")
        await type_at(pilot, area, 4, "alpha = 0.1  ")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: app.current_mode == "home" and at_cursor(pilot) == "mine")
    expected = "# über  \r\n[inner]\r\nsteps=2\t# two\r\nalpha = 0.1  \r\n"
    assert path.read_bytes() == expected.encode()
    assert [file.name for file in path.parent.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_mistake_is_named_with_its_line_as_it_is_typed(
    size: tuple[int, int], place: Path, make_app: MakeApp
) -> None:
    own_profile(place, "mine", "[inner]\nsteps = 2\n\n[task]\nway = 5\n")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        area = await open_editor(pilot, "mine", "e")
        await until(pilot, lambda: "valid  5-way 1-shot on strokes" in screen_text(app))
        assert area.faulty == frozenset()
        await type_at(pilot, area, 3, "stpes = 3")
        await until(pilot, lambda: "line 3  inner.stpes" in screen_text(app))
        assert "unknown key; allowed in [inner]: steps" in screen_text(app)
        assert area.faulty == {2}
        assert area.get_line(2).spans != area.get_line(1).spans
        await pilot.press(*["backspace"] * 9)
        await until(pilot, lambda: "valid  5-way 1-shot on strokes" in screen_text(app))
        assert area.faulty == frozenset()
        await type_at(pilot, area, 5, "=")
        await until(pilot, lambda: "not TOML" in screen_text(app))
        assert "line 5" in line_of(app, "not TOML")
        assert area.faulty == {4}


async def test_the_cursor_jumps_from_mistake_to_mistake(place: Path, make_app: MakeApp) -> None:
    own_profile(place, "mine", "[inner]\nsteps = -1\nalpha = 1\n[task]\nway = 1\n")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        area = await open_editor(pilot, "mine", "e")
        await until(pilot, lambda: area.faulty == {1, 4})
        rows = []
        for _ in range(3):
            await pilot.press("ctrl+n")
            rows.append(area.cursor_location[0])
        assert rows == [1, 4, 1]


async def test_a_text_that_is_no_profile_is_not_saved(place: Path, make_app: MakeApp) -> None:
    path = own_profile(place, "mine", "[inner]\nsteps = 2\n")
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        area = await open_editor(pilot, "mine", "e")
        await type_at(pilot, area, 2, "x")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "Not saved" in screen_text(app))
        assert "line 2  inner.xsteps" in screen_text(app)
        assert isinstance(app.screen, EditorScreen)
    assert path.read_text() == "[inner]\nsteps = 2\n"


async def test_another_file_is_not_overwritten_without_asking(
    place: Path, make_app: MakeApp
) -> None:
    own_profile(place, "mine", "[inner]\nsteps = 2\n")
    other = own_profile(place, "other", "[inner]\nsteps = 3\n")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_editor(pilot, "mine", "n")
        assert app.screen.query_one("#path", Input).value == "profiles/mine-2.toml"
        app.screen.query_one("#path", Input).value = str(other.relative_to(place))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "Replace profiles/other.toml?" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert other.read_text() == "[inner]\nsteps = 3\n"
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: app.current_mode == "home" and at_cursor(pilot) == "other")
    assert load_profile(str(other)).inner.steps == 2


async def test_what_another_program_wrote_meanwhile_is_not_overwritten_without_asking(
    place: Path, make_app: MakeApp
) -> None:
    path = own_profile(place, "mine", "[inner]\nsteps = 2\n")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        area = await open_editor(pilot, "mine", "e")
        await type_at(pilot, area, 1, "# mine\n"[:-1])
        await pilot.press("enter")
        path.write_text("[inner]\nsteps = 9\n")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "Another program has changed it" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
    assert path.read_text() == "[inner]\nsteps = 9\n"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("mine", "has to end in .toml"),
        ("", "has to end in .toml"),
        (".toml", "has to end in .toml"),
        ("nowhere/mine.toml", "There is no such folder"),
        ("folder.toml", "This is a folder"),
    ],
)
async def test_a_file_that_cannot_be_is_refused_in_words(
    path: str, problem: str, place: Path, make_app: MakeApp
) -> None:
    (place / "folder.toml").mkdir()
    before = sorted(place.rglob("*"))
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await open_editor(pilot, "tiny", "n")
        app.screen.query_one("#path", Input).value = path
        await pilot.press("ctrl+o")
        await until(pilot, lambda: problem in " ".join(screen_text(app).split()))
        assert isinstance(app.screen, EditorScreen)
    assert [item for item in sorted(place.rglob("*")) if "state" not in item.parts] == before


async def test_leaving_asks_only_when_something_would_be_lost(
    place: Path, make_app: MakeApp
) -> None:
    path = own_profile(place, "mine", "[inner]\nsteps = 2\n")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_editor(pilot, "mine", "e")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, EditorScreen))
        assert not isinstance(app.screen, Confirm)
        area = await open_editor(pilot, "mine", "e")
        await type_at(pilot, area, 1, "#")
        await pilot.press("escape")
        await until(pilot, lambda: "Leave without saving?" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert area.text.startswith("#[inner]")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: line_of(app, "›  mine"))
    assert path.read_text() == "[inner]\nsteps = 2\n"


async def test_editing_a_packaged_profile_makes_a_new_one(place: Path, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        area = await open_editor(pilot, "5way5shot", "e")
        assert "A packaged profile stays as it is" in screen_text(app)
        assert app.screen.query_one("#path", Input).value == "5way5shot-2.toml"
        assert 'set = "omniglot"' in area.text
        await pilot.press("ctrl+o")
        await until(pilot, lambda: app.current_mode == "home" and at_cursor(pilot) == "5way5shot-2")
    saved, packaged = load_profile("5way5shot-2.toml"), load_profile("5way5shot")
    assert saved.description == "From 5way5shot."
    assert (saved.task, saved.inner, saved.meta) == (packaged.task, packaged.inner, packaged.meta)
    assert place.exists()


async def test_a_new_profile_from_a_run_has_the_values_of_the_run(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.press("e")
        await until(pilot, lambda: "A run keeps its profile" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: app.current_mode == "home" and at_cursor(pilot) == "tiny-2")
    saved, trained = load_profile("tiny-2.toml"), RunFolder(tiny_run).profile
    assert (saved.task, saved.inner, saved.meta) == (trained.task, trained.inner, trained.meta)


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_terminal_would_obey_is_shown_and_does_nothing(
    size: tuple[int, int], place: Path, make_app: MakeApp
) -> None:
    own_profile(place, "mine", 'description = "[bold]x[/]\x1b[31m\x9b2J"\n')
    app = make_app()
    async with app.run_test(size=size) as pilot:
        area = await open_editor(pilot, "mine", "e")
        await until(pilot, lambda: area.faulty == {0})
        shown = screen_text(app)
        assert "\x1b" not in shown and "\x9b" not in shown
        if size != SIZES[0]:
            assert '"[bold]x[/]␛[31m' in shown
        assert area.text == 'description = "[bold]x[/]\x1b[31m\x9b2J"\n'


async def test_the_key_at_the_cursor_is_explained(place: Path, make_app: MakeApp) -> None:
    own_profile(place, "mine", "[inner]\nsteps = 2\n")
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await open_editor(pilot, "mine", "e")
        await until(pilot, lambda: "[inner]: The adaptation to one task." in screen_text(app))
        await pilot.press("down")
        await until(
            pilot,
            lambda: (
                "inner.steps: Gradient steps on the support set in training. Unit: steps. "
                "Allowed: an integer from 0 to 1,000. Default: 1." in screen_text(app)
            ),
        )
        await pilot.press("down")
        await until(pilot, lambda: "inner.steps" not in screen_text(app))


@pytest.mark.parametrize(
    ("text", "row", "begins"),
    [
        ("name = 'x'", 0, "name: Name of the experiment"),
        ("inner.alpha = 1", 0, "inner.alpha: Size of a gradient step."),
        ("[meta]\nbatch = 3\n[task]\n# query = 1", 3, "task.query: Query drawings"),
        ("[meta]\n# Tasks of a meta-iteration.\nbatch = 3", 1, "meta.batch: Tasks"),
        ("[meta]\nbatsch = 3", 1, ""),
        ("[nothing]", 0, ""),
        ("", 0, ""),
        ("x", 5, ""),
    ],
)
def test_keys_are_found_in_every_way_of_writing_them(text: str, row: int, begins: str) -> None:
    explained = drafts.explanation(text.split("\n"), row)
    assert explained.startswith(begins)
    assert bool(explained) == bool(begins)


def test_a_free_name_counts_on_from_the_last(place: Path) -> None:
    assert drafts.free_path("tiny") == Path("tiny-2.toml")
    (place / "tiny-2.toml").touch()
    assert drafts.free_path("tiny") == Path("tiny-3.toml")
    assert drafts.free_path("tiny-2") == Path("tiny-3.toml")
    (place / "profiles").mkdir()
    assert drafts.free_path("tiny") == Path("profiles/tiny-2.toml")


def test_a_text_without_end_is_refused_without_reading_it() -> None:
    (fault,) = drafts.checked("#" * (drafts.LARGEST + 1), Path("x.toml"))  # type: ignore[misc]
    assert "longer than 1,000,000 characters" in fault.what
