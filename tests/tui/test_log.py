"""The Log screen: what happened, in the order of time, however much it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.selection import Selection
from textual.widgets import Input

from mamltui.events import Checkpointed, Diverged, Event, Notice, Validated
from mamltui.profiles import Profile
from mamltui.runs import LoggedEvent, RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.log.logbook import Logbook
from mamltui.tui.log.view import LogView
from mamltui.tui.session.session import News
from mamltui.tui.session.watched import Watched
from tests.tui.conftest import SIZES, screen_text, until

MakeApp = Callable[..., MamltuiApp]
ESCAPE = "it [bold]broke[/] \x1b[31mred"


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def logged(seconds: float, event: Event) -> LoggedEvent:
    return LoggedEvent(iso(seconds), event)


def news(seconds: float, title: str) -> News:
    return News(seconds, "information", title, "")


def break_down() -> None:
    raise ValueError(ESCAPE)


def broken() -> ValueError:
    try:
        break_down()
    except ValueError as error:
        return error
    raise AssertionError


def add(app: MamltuiApp, *events: Event, seconds: float | None = None) -> None:
    """Let the run that is watched say something."""
    assert app.session.watched is not None
    for event in events:
        app.session.watched.history.add(event, iso(time.time() if seconds is None else seconds))


def watch_nothing_real(app: MamltuiApp) -> None:
    """Watch a profile that is not run, to whose history a test adds what it likes."""
    app.session.watched = Watched(Profile(name="made-up"), "made-up.toml")


async def open_log(app: MamltuiApp, pilot: Pilot[None]) -> LogView:
    app.go("log")
    await until(pilot, lambda: app.current_mode == "log" and list(app.screen.query(LogView)))
    await pilot.pause()
    return app.screen.query_one(LogView)


def shown(view: LogView) -> list[str]:
    """All lines of the log, whether they are seen or not."""
    return ["".join(text for text, _ in view.line(index)) for index in range(view.count)]


# The order of things.


def test_events_and_news_are_in_the_order_of_time() -> None:
    book = Logbook()
    events = [logged(10, Notice(1, "ten")), logged(30, Notice(3, "thirty"))]
    assert book.update(events, [news(20, "twenty"), news(40, "forty")])
    assert [entry.text for entry in book.entries] == ["ten", "twenty", "thirty", "forty"]
    assert [entry.iteration for entry in book.entries] == [1, None, 3, None]


def test_what_has_not_changed_is_not_taken_in_again() -> None:
    book = Logbook()
    events = [logged(10, Notice(1, "ten"))]
    assert book.update(events, [])
    assert not book.update(list(events), [])
    events.append(logged(11, Notice(2, "eleven")))
    assert book.update(events, [])
    assert [entry.text for entry in book.entries] == ["ten", "eleven"]


def test_entries_go_when_their_events_are_dropped() -> None:
    book = Logbook()
    events = [logged(number, Notice(number, str(number))) for number in range(1, 6)]
    book.update(events[:4], [])
    first = book.entries[2]
    book.update(events[2:], [])
    assert [entry.text for entry in book.entries] == ["3", "4", "5"]
    assert book.entries[0] is first


def test_events_of_another_run_replace_those_before() -> None:
    book = Logbook()
    book.update([logged(1, Notice(1, "one")), logged(2, Notice(2, "two"))], [])
    book.update([logged(5, Notice(1, "other"))], [])
    assert [entry.text for entry in book.entries] == ["other"]
    book.update([], [])
    assert book.entries == []


def test_an_event_whose_time_is_no_time_stays_behind_the_one_before() -> None:
    book = Logbook()
    events = [logged(10, Notice(1, "ten")), LoggedEvent("yesterday", Notice(2, "odd"))]
    book.update(events, [news(11, "eleven")])
    assert [entry.text for entry in book.entries] == ["ten", "odd", "eleven"]


# The screen.


@pytest.mark.parametrize("size", SIZES)
async def test_the_log_of_a_run_is_shown_with_the_news_of_the_app(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        app.session.watch(RunFolder(tiny_run))
        app.session.tell("an evaluation finished", "98.2 %")
        view = await open_log(app, pilot)
        await until(pilot, lambda: any("finished" in line for line in shown(view)))
        await until(pilot, lambda: "98.2 %" in shown(view)[-1])
        words = [entry.word for entry in view._entries]
        assert words[0] == "started" and words[-2:] == ["finished", "app"]
        assert "98.2 %" in screen_text(app)
        if size != (20, 5):
            await until(pilot, lambda: "processor" in screen_text(app))
            line = next(line for line in shown(view) if "validated " in line)
            clock, iteration, *_ = line.split()
            assert datetime.strptime(clock, "%H:%M:%S")
            assert int(iteration) in range(7)
            assert tiny_run.name in screen_text(app) and "GiB" in screen_text(app)


@pytest.mark.usefixtures("place")
async def test_a_failure_has_its_whole_traceback_and_nothing_in_it_is_obeyed(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        view = await open_log(app, pilot)
        app.session.tell_error("the [b]run[/b] failed", broken())
        await until(pilot, lambda: view.count)
        text = " ".join(" ".join(shown(view)).split())  # a long path breaks lines elsewhere
        assert "the [b]run[/b] failed" in text
        assert "Traceback (most recent call last):" in text
        assert "in break_down" in text and "raise ValueError(ESCAPE)" in text
        assert r"ValueError: it [bold]broke[/] \x1b[31mred" in text
        await until(pilot, lambda: r"[bold]broke[/] \x1b[31mred" in screen_text(app))
        assert "\x1b" not in screen_text(app)


@pytest.mark.usefixtures("place")
async def test_long_lines_are_wrapped_to_the_width_of_the_screen(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        view = await open_log(app, pilot)
        words = [f"word{number}" for number in range(40)]
        add(
            app,
            Notice(7, " ".join(words)),
            Notice(8, "x" * 300 + "y" * 9),
            Notice(9, "日本語" * 40),
        )
        await until(pilot, lambda: view.entry_count == 3)
        joined = " ".join(shown(view))
        assert all(word in joined.split() for word in words)
        assert joined.count("x") == 300 and joined.count("y") == 9
        # What is seen: the last cell of each line is the scrollbar's.
        assert sum(view.render_line(y).text.count("x") for y in range(view.size.height)) == 300
        assert sum(line.count("日") for line in shown(view)) == 40
        widths = {strip.cell_length for strip in map(view.render_line, range(9))}
        assert widths == {view.width}
        assert max(len(line) for line in shown(view)) <= view.size.width


@pytest.mark.usefixtures("place")
async def test_w_shows_only_warnings_and_errors_and_again_everything(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        add(app, Checkpointed(3, "last", "a"), Notice(4, "careful"), Diverged(5, "lost"))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.entry_count == 3)
        await pilot.press("w")
        await until(pilot, lambda: view.entry_count == 2)
        assert [line.split()[1:3] for line in shown(view)] == [["4", "notice"], ["5", "diverged"]]
        assert "warnings and errors" in screen_text(app)
        await pilot.press("w")
        await until(pilot, lambda: view.entry_count == 3)


@pytest.mark.usefixtures("place")
async def test_slash_filters_as_is_typed_enter_keeps_and_escape_ends_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        add(app, *(Notice(number, f"number {number} of Many") for number in range(30)))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.entry_count == 30)
        await pilot.press("slash", *"many 17")
        await until(pilot, lambda: view.entry_count == 1)
        assert "number 17" in screen_text(app) and "1 of 30" in screen_text(app)
        await pilot.press("enter")
        assert app.focused is view and app.screen.query_one(Input).display
        add(app, Notice(31, "170 is another of many"))
        await until(pilot, lambda: view.entry_count == 2)
        await pilot.press("slash", "escape")
        await until(pilot, lambda: view.entry_count == 31)
        assert app.focused is view and not app.screen.query_one(Input).display


@pytest.mark.usefixtures("place")
async def test_the_newest_stays_in_sight_until_one_moves_up_and_f_brings_it_back(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        add(app, *(Notice(number, f"first {number}") for number in range(100)))
        view = await open_log(app, pilot)
        await until(pilot, lambda: "first 99" in screen_text(app))
        assert " following" in screen_text(app)
        await pilot.press("k")
        await until(pilot, lambda: "not following" in screen_text(app))
        top = view.top
        add(app, *(Notice(number, f"second {number}") for number in range(50)))
        await until(pilot, lambda: view.entry_count == 150)
        assert view.top == top and "second" not in screen_text(app)
        await pilot.press("f")
        await until(pilot, lambda: "second 49" in screen_text(app))
        add(app, Notice(200, "the last"))
        await until(pilot, lambda: "the last" in screen_text(app))


@pytest.mark.usefixtures("place")
async def test_keys_go_through_the_log(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        add(app, *(Notice(number, f"entry {number}") for number in range(200)))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.entry_count == 200)
        await pilot.press("g")
        assert view.top == 0
        await pilot.press("j", "down")
        assert view.top == 2
        await pilot.press("pagedown")
        assert view.top == 2 + view.rows - 1
        await pilot.press("pageup", "k", "up")
        assert view.top == 0
        await pilot.press("G")
        assert view.is_at_end and "entry 199" in screen_text(app)


@pytest.mark.usefixtures("place")
async def test_a_full_log_of_20_000_entries_takes_in_one_more_without_making_all_anew(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        watch_nothing_real(app)
        add(app, *(Checkpointed(number, "last", f"{number:,}.") for number in range(20_000)))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.entry_count == 20_000)
        made: list[str] = []
        wrapped = LogView._wrapped
        monkeypatch.setattr(
            LogView, "_wrapped", lambda self, entry: made.append(entry.text) or wrapped(self, entry)
        )
        for number in range(3):
            add(app, Notice(20_000 + number, f"one more {number}"))
        await until(pilot, lambda: "one more 2" in screen_text(app))
        assert made == ["one more 0", "one more 1", "one more 2"]
        lines = shown(view)
        assert view.entry_count == len(lines) == 20_000  # the oldest have gone
        assert lines[0].endswith(" 3.") and lines[-1].endswith("one more 2")


@pytest.mark.usefixtures("place")
async def test_what_is_read_stays_where_it_is_while_the_oldest_entries_go(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        add(app, *(Notice(number, f"entry {number}") for number in range(20_000)))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.entry_count == 20_000)
        await pilot.press("pageup")
        seen = screen_text(app).splitlines()[5]
        assert "entry" in seen
        add(app, *(Notice(number, "new") for number in range(10)))
        await until(pilot, lambda: shown(view)[-1].endswith("new"))
        await pilot.pause()
        assert screen_text(app).splitlines()[5] == seen


@pytest.mark.usefixtures("place")
async def test_entries_of_an_earlier_day_stand_under_its_date(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        earlier = time.time() - 3 * 86_400
        add(app, Validated(3, 0.5, 0.1, 1.0, (), (), True, 1.0), seconds=earlier)
        add(app, Notice(4, "today"))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.entry_count == 2)
        first, validated, second, notice = shown(view)
        assert first == time.strftime("%Y-%m-%d", time.localtime(earlier))
        assert "50.00 ± 10.00 %, loss 1.0000, best so far" in validated
        assert second == time.strftime("%Y-%m-%d") and "today" in notice


async def test_a_run_that_cannot_be_followed_says_so_in_words(
    tiny_run: Path, make_app: MakeApp
) -> None:
    (tiny_run / "events.jsonl").write_text('{"broken\n', encoding="utf-8")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.session.watch(RunFolder(tiny_run))
        view = await open_log(app, pilot)
        await until(pilot, lambda: view.count)
        text = " ".join(" ".join(shown(view)).split())
        assert "cannot be followed any further" in text and "events.jsonl:1" in text
        assert "damaged" in screen_text(app).splitlines()[2]


@pytest.mark.usefixtures("place")
async def test_another_run_takes_the_place_of_the_one_before(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        watch_nothing_real(app)
        add(app, Notice(1, "made up"))
        view = await open_log(app, pilot)
        await until(pilot, lambda: "made up" in screen_text(app))
        app.session.watch(RunFolder(tiny_run))
        await until(pilot, lambda: tiny_run.name in screen_text(app))
        await until(pilot, lambda: any("finished" in line for line in shown(view)))
        assert not any("made up" in line for line in shown(view))


@pytest.mark.usefixtures("place")
async def test_marked_lines_are_copied_as_they_are_read(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        view = await open_log(app, pilot)
        app.session.tell_error("failed", broken())
        await until(pilot, lambda: view.count)
        copied = view.get_selection(Selection(None, None))
        assert copied is not None and copied[0].splitlines() == shown(view)
        app.screen.selections = {view: Selection(None, None)}
        await until(pilot, lambda: "Traceback" in screen_text(app))
        assert app.screen.get_selected_text() == "\n".join(shown(view))


@pytest.mark.usefixtures("place")
async def test_the_command_is_that_of_the_run_and_without_one_there_is_none(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_log(app, pilot)
        await until(pilot, lambda: "no run is open" in screen_text(app))
        assert app.screen.headless_command() is None  # type: ignore[attr-defined]
        app.session.watch(RunFolder(tiny_run))
        command = app.screen.headless_command()  # type: ignore[attr-defined]
        assert command.startswith("mamltui run ") and "profile.toml" in command


def test_a_checkpoint_is_a_mark_on_its_validation() -> None:
    book = Logbook()
    validated = logged(10, Validated(3, 0.5, 0.1, 1.0, (0.5,), (1.0,), True, 2.0))
    last, best = (
        logged(11, Checkpointed(3, kind, f"{kind}.safetensors")) for kind in ("last", "best")
    )
    alone = logged(12, Checkpointed(4, "last", "last.safetensors"))
    book.update([validated], [])
    assert book.entries[0].word == "validated"
    book.update([validated, last, best, alone], [])
    assert [entry.word for entry in book.entries] == ["validated ●", "checkpoint"]
    before = book.entries[0]
    book.update([validated, last, best, alone, logged(13, Notice(5, "five"))], [])
    assert book.entries[0] is before  # so that the screen draws what is new alone
