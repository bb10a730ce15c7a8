"""The Compare screen while files of runs grow, end, or are damaged."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from mamltui.events import Finished, Started, Validated
from mamltui.profiles import Profile
from mamltui.results import write_results
from mamltui.runs import RunFolder
from tests.cli.run_folders import step_at
from tests.results.examples import OWN_PROTOCOL, evaluation
from tests.tui.comparing import MakeApp, MakeRun, heads, open_compare, screen_of, table
from tests.tui.conftest import screen_text, until


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "following"]


async def test_a_run_that_still_trains_is_followed_and_let_go_when_it_is_over(
    place: Path, make_app: MakeApp
) -> None:
    run = RunFolder.create(Profile(name="live"), place / "runs")
    run.append_event(Started(0, run.name, 60_000, "cpu", 10, resumed=False))
    run.append_metrics(step_at(20))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        (compared,) = screen_of(app)._comparison.chosen
        assert table(app)["state"] == ["training"] and table(app)["iterations"] == ["20"]
        run.append_metrics(step_at(40))
        await until(pilot, lambda: table(app)["iterations"] == ["40"])
        assert len(compared.curve("query_loss")) == 2
        run.append_event(Validated(60, 0.5, 0.1, 1.0, (0.5,), (1.0,), True, 6.0))
        await until(pilot, lambda: table(app)["best validation %"] == ["50.00"])
        run.append_event(Finished(60, 60, 0.5, 1.0, 6.0))
        run.update(state="finished", iteration=60)
        run.release()
        await until(pilot, lambda: table(app)["state"] == ["finished"])
        await until(pilot, lambda: not reading_threads())
        assert compared.newest.state == "finished"


async def test_files_of_a_run_that_is_left_out_are_let_go(place: Path, make_app: MakeApp) -> None:
    run = RunFolder.create(Profile(name="live"), place / "runs")
    run.append_metrics(step_at(20))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        await until(pilot, lambda: len(reading_threads()) == 1)
        await pilot.press("space")
        await until(pilot, lambda: not reading_threads())
        assert table(app) == {}
    run.release()


async def test_files_are_let_go_when_the_app_is_left(place: Path, make_app: MakeApp) -> None:
    runs = [RunFolder.create(Profile(name="live"), place / "runs") for _ in range(2)]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, *runs)
        await until(pilot, lambda: len(reading_threads()) == 2)
        threads = reading_threads()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for run in runs:
        run.release()


async def test_a_finished_run_that_goes_on_is_followed_again(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    run = make_run("one")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        await until(pilot, lambda: not reading_threads())
        run.acquire()
        run.begin(iterations=80)
        run.append_metrics(step_at(60))
        await until(pilot, lambda: table(app)["iterations"] == ["60"])
        assert table(app)["state"] == ["training"]
    run.release()


async def test_damage_is_told_in_words_and_the_other_runs_are_shown(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    whole, torn, strange = make_run("whole"), make_run("torn"), make_run("strange")
    (torn.path / "metrics.jsonl").write_text('{"event": [b]\n')
    (strange.path / "profile.toml").write_text("way = ")
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await open_compare(app, pilot, whole, torn, strange)
        await until(pilot, lambda: table(app)["state"] == ["finished", "damaged", "finished"])
        assert "metrics.jsonl:1" in screen_text(app)
        await until(pilot, lambda: len(app.session.log) >= 2)
        told = {news.title.split("-")[0]: news.text for news in app.session.log}
        assert "metrics.jsonl:1" in told["torn"] and "profile.toml" in told["strange"]
        assert table(app)["best validation %"] == ["91.25"] * 3
        assert table(app)["name"] == ["whole", "torn", "-"]


async def test_a_run_that_cannot_be_read_at_all_is_refused_with_the_reason(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    (make_run("dead").path / "run.json").write_text("{")
    app = make_app()
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await open_compare(app, pilot)
        assert "damaged" in screen_text(app)
        await pilot.press("space")
        await until(pilot, lambda: screen_text(app).count("damaged") >= 2)
        assert heads(app) == []


async def test_results_that_come_later_are_shown(make_run: MakeRun, make_app: MakeApp) -> None:
    run = make_run("one", **OWN_PROTOCOL)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        assert table(app)["test %"] == ["-"]
        write_results(run.evaluation, replace(evaluation(), run=run.name))
        await until(pilot, lambda: table(app)["test %"] == ["98.21 ± 0.31"])
