"""Home: what it lists, and what it says of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.profiles import packaged_profiles
from mamltui.runs import ListedRun
from mamltui.tui.app import MamltuiApp
from mamltui.tui.shared.details import Details
from mamltui.tui.shared.dialogs import Confirm
from tests.tui.conftest import SECONDS, SIZES, screen_text, until
from tests.tui.home_place import (
    ago,
    at_cursor,
    change_run,
    copy_run,
    go_to,
    home,
    interrupt,
    line_of,
    listed,
)

MakeApp = Callable[..., MamltuiApp]
LISTED = len(packaged_profiles()) + 1  # and the place has one of its own
LARGE = [(80, 24), (160, 45)]


@pytest.mark.parametrize("size", SIZES)
async def test_profiles_and_runs_are_listed_at_every_size(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        assert f"Profiles {LISTED}" in screen_text(app)
        assert at_cursor(pilot) == "quickstart"
        await pilot.press("tab")
        await until(pilot, lambda: "Runs 1" in screen_text(app))
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)


@pytest.mark.parametrize("size", LARGE)
async def test_a_row_says_what_matters_most(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    change_run(tiny_run, created=ago(hours=2, minutes=5))
    validated = copy_run(tiny_run, "validated", created=ago(days=5))
    for result in (validated / "evaluation").iterdir():
        result.unlink()
    change_run(validated, best={"iteration": 3, "accuracy": 0.9712, "loss": 0.1})
    copy_run(tiny_run, "halfway", created=ago(minutes=3))
    interrupt(tiny_run.with_name("halfway"), iteration=3)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        task = line_of(app, "   quickstart ") or line_of(app, "›  quickstart ")
        assert task.split()[2:6] == ["5-way", "1-shot", "strokes", "1/3"]
        accuracy = json.loads(next(tiny_run.glob("evaluation/*.json")).read_text())
        headline = accuracy["evaluations"][0]["transductive"][2]["accuracy"]
        row = line_of(app, f"{tiny_run.name[:6]}").split()
        assert row[-6:] == ["finished", f"{100 * headline:.2f}", "%", "test", "2", "h"]
        row = line_of(app, " validated ").split()
        assert row[-6:] == ["finished", "97.12", "%", "valid.", "5", "d"]
        row = line_of(app, " halfway  ").split()
        assert row[-6:] == ["interrupted", "50", "%", "done", "3", "min"]


@pytest.mark.usefixtures("place")
async def test_without_runs_the_list_says_how_to_get_one(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        assert "none yet: Enter opens a profile, r runs it" in screen_text(app)


@pytest.mark.parametrize("size", LARGE)
async def test_a_broken_profile_is_listed_with_its_problem_among_the_others(
    size: tuple[int, int], place: Path, make_app: MakeApp
) -> None:
    (place / "profiles").mkdir()
    (place / "profiles" / "broken.toml").write_text("[inner]\nsteps = -1\n")
    (place / "profiles" / "good.toml").write_text("[inner]\nsteps = 2\n")
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        await listed(pilot)
        assert f"Profiles {LISTED + 2}" in screen_text(app)
        await go_to(pilot, "broken")
        assert "line 2  inner.steps: -1 is" in line_of(app, "broken")
        await until(pilot, lambda: "an integer from 0 to 1,000" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "This profile cannot be run" in screen_text(app))
        assert app.current_mode == "home"


async def test_profiles_of_the_given_folder_are_listed_and_other_toml_files_are_not(
    place: Path, make_app: MakeApp
) -> None:
    given = place / "experiments"
    given.mkdir()
    (given / "wide.toml").write_text("[inner]\nsteps = 7\n")
    (place / "pyproject.toml").write_text('[project]\nname = "other"\n')
    app = make_app(profiles_dir=given)
    async with app.run_test(size=(160, 45)) as pilot:
        await listed(pilot)
        for text in ("wide", "tiny", "pyproject"):
            found = int(text != "pyproject")
            await pilot.press("slash", *text)
            await until(pilot, lambda found=found: f"Profiles {found} of" in screen_text(app))
            assert not found or line_of(app, f" {text} ")
            assert text != "wide" or "experim" in line_of(app, " wide ")
            await pilot.press("escape")


async def test_a_damaged_run_says_what_is_damaged(tiny_run: Path, make_app: MakeApp) -> None:
    copy_run(tiny_run, "damaged-one", state="dancing")
    app = make_app()
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await listed(pilot)
        assert "damaged: the file is damaged: state" in line_of(app, "damaged-one")
        await pilot.press("l")
        await go_to(pilot, "damaged-one")
        await pilot.press("R")
        await until(pilot, lambda: "This run is damaged" in screen_text(app))
        await pilot.press("D", "y")
        await until(pilot, lambda: "Not removed" in screen_text(app))
        assert tiny_run.with_name("damaged-one").is_dir()


@pytest.mark.parametrize("size", LARGE)
async def test_a_profile_is_explained_value_by_value(
    size: tuple[int, int], place: Path, make_app: MakeApp
) -> None:
    assert place.exists()
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        await go_to(pilot, "5way1shot")
        await until(pilot, lambda: "98.7 ± 0.4 %" in screen_text(app))
        assert "MAML [Finn, Abbeel and Levine 2017, Table 1]" in screen_text(app)
        shown = app.screen.query_one(Details)
        lines = [" ".join(cell.plain.strip() for cell in entry.cells) for entry in shown._entries]
        assert "filters 64 channels Filters of each convolution." in lines
        assert (
            "* set omniglot Data set: embedded drawn characters, Omniglot, CIFAR-FS, or your own "
            "images." in lines
        )
        assert "steps 1 step Gradient steps on the support set in training." in lines
        assert "alpha 0.4 step size Size of a gradient step." in lines


async def test_a_run_is_compared_with_what_is_published(tiny_run: Path, make_app: MakeApp) -> None:
    (result,) = tiny_run.glob("evaluation/*.json")
    document = json.loads(result.read_text())
    for evaluation in document["evaluations"]:
        evaluation |= {"data": "omniglot", "way": 5, "shot": 1}
    result.write_text(json.dumps(document))
    profile = tiny_run / "profile.toml"
    profile.write_text(profile.read_text().replace("way = 3", "way = 5"))
    change_run(tiny_run, state="failed", error="the disk is full", iteration=4)
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await until(pilot, lambda: "below the MAML paper's 98.7 ± 0.4 %" in screen_text(app))
        assert line_of(app, "failed at 4 of 6: R resumes it")
        assert line_of(app, "the disk is full")
        assert line_of(app, "best ").split()[1] == "best"
        assert line_of(app, "5-way 1-shot, 1 query a class")
        assert line_of(app, "cpu, 1 thread")


async def test_the_filter_narrows_both_lists_as_it_is_typed_and_escape_clears_it(
    tiny_run: Path, make_app: MakeApp
) -> None:
    copy_run(tiny_run, "other", profile="else")
    matching = sum("20way1shot" in name for name in packaged_profiles())
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("slash", *"20-way 1-shot")
        await until(pilot, lambda: f"Profiles {matching} of {LISTED}" in screen_text(app))
        assert "Runs 0 of 2" in screen_text(app)
        assert app.current_mode == "home"  # the digits were typed, not obeyed
        await pilot.press("escape")
        await until(pilot, lambda: "Runs 2 " in screen_text(app))
        await pilot.press("slash", *"tiny", "enter")
        await until(pilot, lambda: "Runs 1 of 2" in screen_text(app))
        await until(pilot, lambda: at_cursor(pilot) == "tiny")
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.press("escape")
        await until(pilot, lambda: f"Profiles {LISTED}" in screen_text(app))
        assert at_cursor(pilot) == tiny_run.name


@pytest.mark.parametrize("size", SIZES)
async def test_names_with_markup_and_escape_sequences_are_shown_literally(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    hostile = "[bold]x[]\x1b[31m"
    copy_run(tiny_run, hostile, created=ago(minutes=-1), error=f"no {hostile}")
    Path("profiles").mkdir()
    (Path("profiles") / f"{hostile}.toml").write_text(
        'description = "all [bold]bold[/] [/nothing]"\n'
    )
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        await go_to(pilot, "[bold]x[]\\x1b[31m")
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == hostile)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "\x1b" not in screen_text(app)
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        if size != SIZES[0]:
            await until(pilot, lambda: "no [bold]x[]\\x1b[31m" in screen_text(app))
            await pilot.press("h")
            await until(pilot, lambda: "all [bold]bold[/] [/nothing]" in screen_text(app))
            assert "[bold]x[]\\x1b[31m" in screen_text(app)
        assert "\x1b" not in screen_text(app)


async def test_a_new_run_appears_without_moving_the_cursor(
    tiny_run: Path, make_app: MakeApp
) -> None:
    copy_run(tiny_run, "earlier", created=ago(days=1))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await go_to(pilot, "earlier")
        copy_run(tiny_run, "newest", created=ago(minutes=-1))
        await until(pilot, lambda: "Runs 3" in screen_text(app))
        assert at_cursor(pilot) == "earlier"
        assert "›" in line_of(app, "earlier")


@pytest.mark.parametrize("size", LARGE)
async def test_500_runs_are_listed_and_the_cursor_reaches_the_last(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    values = json.loads((tiny_run / "run.json").read_text())
    for number in range(499):
        run = tiny_run.with_name(f"many-{number:03}")
        (run / "evaluation").mkdir(parents=True)
        values["created"] = ago(hours=number + 1)
        (run / "run.json").write_text(json.dumps(values))
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        assert "Runs 500" in screen_text(app)
        await pilot.press("l", "G")
        await until(pilot, lambda: at_cursor(pilot) == "many-498")
        assert "20 d" in line_of(app, "many-498")
        await pilot.press("g")
        await until(pilot, lambda: line_of(app, tiny_run.name[:6]))


async def test_many_runs_are_listed_before_what_is_in_their_folders_is_read(
    tiny_run: Path, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_run(tiny_run, created=ago(hours=2, minutes=5))
    copy_run(tiny_run, "halfway", created=ago(minutes=3))
    interrupt(tiny_run.with_name("halfway"), iteration=3)
    may_read = threading.Event()
    load = ListedRun.load

    def load_later(run: ListedRun) -> ListedRun:
        assert may_read.wait(SECONDS)
        return load(run)

    monkeypatch.setattr(ListedRun, "load", load_later)
    monkeypatch.setattr("mamltui.tui.home.listing.FEW", 1)
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: "Runs 2" in screen_text(app))
        name = tiny_run.name[:6]
        assert line_of(app, name).split()[-3:] == ["finished", "2", "h"]
        assert line_of(app, " halfway  ").split()[-6:-1] == ["interrupted", "50", "%", "done", "3"]
        await pilot.press("slash", *"state:finished")
        assert "Runs 2" in screen_text(app)  # which of them fit is not known yet
        may_read.set()
        await until(pilot, lambda: "Runs 1 of 2" in screen_text(app))
        assert line_of(app, name).split()[-3] == "test"


@pytest.mark.usefixtures("place")
async def test_a_runs_folder_that_is_a_file_is_told_and_the_profiles_are_listed(
    make_app: MakeApp,
) -> None:
    Path("runs").write_text("not a folder")
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await listed(pilot)
        assert "the runs folder is a file" in screen_text(app)
        assert f"Profiles {LISTED}" in screen_text(app)


def test_home_is_imported_without_what_is_slow_to_import() -> None:
    code = (
        "import sys, mamltui.tui.app, mamltui.tui.home.screen; "
        "print([name for name in ('torch', 'numpy', 'pydantic') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


async def test_the_cursor_stays_when_home_is_seen_again(tiny_run: Path, make_app: MakeApp) -> None:
    assert tiny_run.exists()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await go_to(pilot, "5way5shot")
        await pilot.press("6")
        await until(pilot, lambda: app.current_mode == "log")
        await pilot.press("1")
        await until(pilot, lambda: app.current_mode == "home")
        await pilot.press("j", "k")
        await pilot.pause()
        assert home(pilot)._lists.current is not None
        assert at_cursor(pilot) == "5way5shot"


async def test_the_run_that_can_be_resumed_is_offered_whole(
    tiny_run: Path, make_app: MakeApp
) -> None:
    for name in ("5way1shot-20261130-005922-9674", "5way1shot-20261130-005922-9675"):
        run = copy_run(tiny_run, name, iterations=60_000)
        interrupt(run, iteration=20_000)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        offer = line_of(app, "R resumes")
        assert offer.endswith("-9675 at 20,000 of 60,000, newest of 2")
        await pilot.press("l")
        await until(pilot, lambda: "interrupted  5way1shot" in screen_text(app))
        offer = line_of(app, "interrupted  5way1shot")
        assert offer.endswith("-9675 at 20,000 of 60,000, newest of 2")


async def test_the_offer_to_resume_cuts_the_name_before_how_far_the_run_is(
    tiny_run: Path, make_app: MakeApp
) -> None:
    interrupt(copy_run(tiny_run, "train-steps-20way5shot-steps1-seed0-20261129-215900-003b"), 4)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        offer = line_of(app, "R resumes")
        assert "train-steps-20way5shot-steps1-seed0…003b at 4 of 6" in offer


async def test_one_tested_seed_does_not_speak_for_its_group(
    tiny_run: Path, make_app: MakeApp
) -> None:
    profile = (tiny_run / "profile.toml").read_text()
    for seed in (7, 8):
        run = copy_run(tiny_run, f"seed{seed}", seed=seed)
        change_run(run, best={"iteration": 3, "accuracy": 0.5 + seed / 100, "loss": 0.1})
        (run / "profile.toml").write_text(re.sub(r"(?m)^seed = 0", f"seed = {seed}", profile))
        for result in (run / "evaluation").iterdir():
            result.unlink()
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await listed(pilot)
        await pilot.press("l", "f")
        await until(pilot, lambda: "3 seeds" in line_of(app, "›"))
        row = line_of(app, "3 seeds")
        assert "valid." in row and "test" not in row


@pytest.mark.parametrize("size", [(120, 36), (160, 45)])
async def test_on_a_wide_screen_each_run_has_what_differs_and_its_curve(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    profile = (tiny_run / "profile.toml").read_text()
    run = copy_run(tiny_run, "fast-20way1shot-20261130-005922-a96e", seed=7)
    (run / "profile.toml").write_text(re.sub(r"(?m)^seed = 0", "seed = 7", profile))
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        row = re.compile("a96e .*seed 7 .*[▁-█]")
        await until(pilot, lambda: row.search(screen_text(app)))
