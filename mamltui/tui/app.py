"""The app: eight screens as modes, one clock that redraws the one that is seen, and the way out."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import App, ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.screen import Screen

from mamltui.errors import MamltuiError
from mamltui.tui.session.options import Options
from mamltui.tui.session.session import News, Session
from mamltui.tui.shared.fallback_glyphs import with_fallback
from mamltui.tui.shared.screen import AppScreen
from mamltui.tui.shared.status_line import SCREENS
from mamltui.tui.shared.terminal import (
    RESTORE_TITLE,
    SAVE_TITLE,
    notification_sequence,
    outliving,
    title_sequence,
)
from mamltui.tui.themes import DARK, THEMES

if TYPE_CHECKING:
    from mamltui.profiles import Profile
    from mamltui.runs import RunFolder
    from mamltui.tui.episode.screen import EpisodeScreen

REDRAWS_PER_SECOND = 4
TOAST_LINES = 6
QUIT_SECONDS = 1.6
LONG_SECONDS = 60.0
"""Of a training whose end is rung: nobody looks at a screen for longer."""
CYRILLIC = dict(
    zip(
        "йцукенгшщзфывапролдячсмитьЙЦУКЕНГШЩЗФЫВАПРОЛДЯЧСМИТЬ",
        "qwertyuiopasdfghjklzxcvbnmQWERTYUIOPASDFGHJKLZXCVBNM",
        strict=True,
    )
)
"""The Latin letter on the same key."""
SIGNALS = {"SIGTERM": 143, "SIGHUP": 129}
"""What ends the app from outside, and its exit code then."""


def _screen(name: str) -> Any:
    """Makes the screen of mode ``name``; its module is imported on first use."""
    module = import_module(f"mamltui.tui.{name}.screen")
    return lambda: getattr(module, f"{name.title()}Screen")()


class MamltuiApp(App[None]):
    """Choose, watch, look inside, sweep, compare."""

    TITLE = "mamltui"
    # Home's as well: it is read once, with the app's, and not again when Home is shown.
    CSS_PATH = ["app.tcss", "home/home.tcss"]  # noqa: RUF012
    MODES: ClassVar[dict[str, Any]] = {
        name: (lambda name=name: _screen(name)()) for name in SCREENS
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            # The function keys are where number keys give other characters (AZERTY).
            Binding(f"{key},f{key}", f"go('{name}')", title, show=False)
            for name, (key, title) in SCREENS.items()
        ),
        Binding("escape", "go_back", "Back", show=False),
        Binding("question_mark", "help", "Help"),
        Binding("C", "copy_command", "Copy command", show=False),
        Binding("Q", "queue", "Queue", show=False, tooltip="The trainings that wait"),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+c", "quit", "Quit", show=False),
    ]

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.session = Session(options)
        self._leaving = False
        self._detaches = False
        """The training goes on in a process of its own when the app is left."""
        self._came_from = ""
        """The screen that was seen before."""
        self._title = ""
        """Of the terminal, as it was told; empty: it was told nothing."""
        self._rung: object = None
        """The training whose end was rung."""
        self._loads_torch = False
        self._begin_with_theme(self.session.memory.get("theme", DARK.name))

    def _begin_with_theme(self, wanted: str) -> None:
        """Set the theme before the style sheets are read: later they would be read again."""
        for theme in THEMES:
            self.register_theme(theme)
        name = wanted if wanted in self.available_themes else DARK.name
        self.set_reactive(App.theme, name)
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_driver_class(self) -> type[Driver]:
        """The driver of this terminal, which draws what it can show, and may lose it."""
        return outliving(with_fallback(super().get_driver_class()))

    def on_key(self, event: events.Key) -> None:
        """A letter that nothing heeds is taken for the Latin one on the same key."""
        if event.character in CYRILLIC:
            event.stop()
            self.simulate_key(CYRILLIC[event.character])

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(
            self, lambda theme: self.session.memory.set("theme", theme.name)
        )
        self._heed_signals()
        self.switch_mode("home")
        self.set_interval(1 / REDRAWS_PER_SECOND, self._tick)
        self.call_after_refresh(self._after_first_paint)

    def on_unmount(self) -> None:
        self.session.let_go()

    def _heed_signals(self) -> None:
        """A lost connection or a shutdown ends the app as its user would; SIGUSR1 saves."""
        loop = asyncio.get_running_loop()
        for name, code in SIGNALS.items():
            with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(getattr(signal, name), self.leave, code)
        with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGUSR1, self._save_checkpoint)

    def _save_checkpoint(self) -> None:
        if self.session.training is not None:
            self.session.training.checkpoint()

    def _after_first_paint(self) -> None:
        """What the first paint does not wait for."""
        from mamltui.tui.opening import open_asked

        try:
            if open_asked(self.session):
                gc.enable()  # Home is behind what is opened, and filled who knows when
                self.go(self.session.options.screen)
        except MamltuiError as error:
            self.report("Cannot be opened", error)

    def load_torch(self) -> None:
        """Import torch behind what is seen, once, when Home has been filled."""
        if not self._loads_torch:
            self._loads_torch = True
            gc.enable()  # the lists stay: nothing of them is thrown away
            from mamltui.tui.opening import load_torch

            load_torch()

    def _tick(self) -> None:
        """Bring what is seen up to date."""
        for news in self.session.take_news():
            self._toast(news)
        self.session.begin_queue()
        self._tell_terminal()
        with suppress(ScreenStackError):  # the app is being left
            if isinstance(self.screen, AppScreen):
                self.screen.bring_up_to_date()

    def _tell_terminal(self) -> None:
        """The title says how far the training is, as ``73 % 96.1 5way1shot``; its end is rung."""
        training = self.session.training
        title = "mamltui"
        if training is not None and not training.is_over:
            now = training.history.newest()
            share = f"{100 * now.iteration / now.iterations:.0f} % " if now.iterations else ""
            best = f"{now.best.score.text.removesuffix(' %')} " if now.best else ""
            title = f"{share}{best}{training.profile.name}"
        if title != self._title:
            before = "" if self._title else SAVE_TITLE
            self._write_to_terminal(before + title_sequence(title))
            self._title = title
        if training is not None and training.is_over and training is not self._rung:
            self._rung = training
            if training.history.newest().elapsed > LONG_SECONDS:
                text = f"{training.profile.name} {training.state}"
                self._write_to_terminal(notification_sequence(text))

    def _write_to_terminal(self, sequence: str) -> None:
        driver = self._driver
        if driver is not None and not driver.is_headless and not driver.is_web:
            driver.write(sequence)

    def _toast(self, news: News) -> None:
        from mamltui.text import visible

        lines = [visible(line) for line in news.text.splitlines()]
        text = "\n".join(lines[:TOAST_LINES]) + ("\n..." if len(lines) > TOAST_LINES else "")
        if news.details:
            text += "\nThe traceback is on the Log screen (6)."
        title = visible(news.title)
        self.notify(
            text or title,
            title=title if text else "",
            severity=news.severity,
            timeout=12 if news.severity == "error" else 6,
            markup=False,
        )

    def training_summary(self, *, short: bool) -> str:
        """What trains in this process, for the status line; or that the app only reads."""
        training = self.session.training
        if self.session.options.read_only:
            return "read only"
        if training is None or training.is_over:
            return ""
        now = training.history.newest()
        if training.phase != "training" or not now.iterations:
            return f"{training.state} {training.profile.name}"
        share = f"{100 * now.iteration / now.iterations:3.0f} %"
        if short:
            return f"{training.state} {share}"
        best = f"  best {now.best.score.text}" if now.best else ""
        best += "  the disk refuses" if now.warning else ""
        return f"{training.state} {training.profile.name} {share}{best}"

    def go(self, name: str) -> None:
        """Show one of the screens."""
        if name != self.current_mode and not isinstance(self.screen, AppScreen):
            return  # a dialog is open: it is answered first
        if name != self.current_mode:
            self._came_from = self.current_mode
        self.switch_mode(name)

    def action_go_back(self) -> None:
        """To the screen where one came from, or Home."""
        self.go(self._came_from if self._came_from in SCREENS else "home")

    def open_episode(self, run: RunFolder, split: str, step: int) -> None:
        """Show the episodes of ``run`` on a split, after ``step`` inner steps."""
        self.go("episode")
        cast("EpisodeScreen", self.screen).show_run(run, split, step)

    def action_go(self, name: str) -> None:
        self.go(name)

    def offer_queue(self, profile: Profile) -> None:
        """Ask whether ``profile`` is to be trained after the training that is going on."""
        from mamltui.tui.shared.dialogs import Confirm

        def answered(yes: bool | None) -> None:
            if not yes:
                return
            try:
                self.session.add_to_queue(profile)
            except MamltuiError as error:
                self.report("Not queued", error)
            else:
                self.notify(f"{profile.name} waits; Q shows the queue.", markup=False)

        text = (
            "A training is running. This one begins when it is over, even if you have quit by "
            "then. If a run of the same profile and data is finished by then, that run is used, "
            "and nothing is trained."
        )
        self.push_screen(Confirm(f"Queue {profile.name}?", text), answered)

    def action_queue(self) -> None:
        """Show what waits, runs and is done."""
        from mamltui.tui.queue.dialog import QueueDialog

        if isinstance(self.screen, AppScreen):
            self.push_screen(QueueDialog(self.session), self._open_queued)

    def _open_queued(self, run: RunFolder | None) -> None:
        if run is None:
            return
        try:
            self.session.watch(run)
        except MamltuiError as error:
            self.report("The run cannot be opened", error)
        else:
            self.go("train")

    def report(self, title: str, error: BaseException) -> None:
        """Show an error of something that was asked for; the app lives on."""
        self.session.tell_error(title, error)
        for news in self.session.take_news():
            self._toast(news)

    def action_help(self) -> None:
        """The help of the screen at hand."""
        from mamltui.tui.help import EVERYWHERE, Page

        if isinstance(self.screen, AppScreen):
            self.push_screen(Page(f"{self.screen.HELP}\n\n{EVERYWHERE}"))

    def action_copy_command(self) -> None:
        """Copy the headless command that repeats what is on the screen."""
        command = self.screen.headless_command() if isinstance(self.screen, AppScreen) else None
        if command is None:
            self.notify("This screen has no command of its own yet.", markup=False)
            return
        self.copy_to_clipboard(command)
        self.notify(command, title="Sent to the terminal's clipboard", timeout=10, markup=False)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette offers."""
        offered = set()
        for node, binding, enabled, _ in screen.active_bindings.values():
            if enabled and binding.description and node is not self:
                name = binding.tooltip or binding.description
                if name in offered:
                    continue  # by another key
                offered.add(name)
                here = partial(self.run_action, binding.action, node)
                key = self.get_key_display(binding)
                yield SystemCommand(name, f"Here, key {key}", here)
        for name, (key, title) in SCREENS.items():
            yield SystemCommand(f"Go to {title}", f"Screen {key}", lambda name=name: self.go(name))
        yield SystemCommand("Queue", "The trainings that wait, run and are done", self.action_queue)
        yield SystemCommand("Help", "This screen and its keys", self.action_help)
        yield SystemCommand(
            "Copy command", "The headless command of this screen", self.action_copy_command
        )
        yield from super().get_system_commands(screen)

    async def action_quit(self) -> None:
        """Leave; a training is stopped after a checkpoint, if the user agrees."""
        from mamltui.tui.shared.dialogs import Confirm, Leave

        if self._leaving or isinstance(self.screen, Confirm | Leave):
            return
        lost = []
        if any(getattr(screen, "is_changed", False) for screen in self.screen_stack):
            lost.append("The profile in the editor is not saved.")
        if self.session.is_training:
            self.push_screen(Leave("\n".join(lost)), self._answer_leave)
        elif lost:
            question = Confirm("Quit?", "\n".join(lost))
            self.push_screen(question, lambda yes: self.leave() if yes else None)
        else:
            self.leave()

    def _answer_leave(self, answer: str | None) -> None:
        """Leave the training stopped, or to a process of its own."""
        if answer:
            self._detaches = answer == "detach"
            self.leave()

    def leave(self, code: int = 0) -> None:
        """Stop what runs, give it a moment to save its checkpoint, and end."""
        if not self._leaving:
            self._leaving = True
            self.session.stop()
            self.run_worker(self._leave(code), exclusive=True)

    async def _leave(self, code: int) -> None:
        limit = time.monotonic() + QUIT_SECONDS
        while self.session.is_training and time.monotonic() < limit:
            await asyncio.sleep(0.02)
        self._write_to_terminal(RESTORE_TITLE)
        with suppress(MamltuiError):
            self.session.leave_queue(detach=self._detaches)
        self.exit(return_code=code)


def run_app(options: Options) -> int:
    """Run the app in this terminal until the user leaves; the exit code."""
    app = MamltuiApp(options)
    try:
        app.run()
    finally:  # also when the app itself has failed
        app.session.stop()
        limit = time.monotonic() + QUIT_SECONDS
        while app.session.is_training and time.monotonic() < limit:
            time.sleep(0.02)
    _print_how_to_go_on(app.session)
    return app.return_code or 0


def _print_how_to_go_on(session: Session) -> None:
    """In the terminal that is seen again: the command that goes on with what was stopped."""
    training = session.training
    if training is None or training.run is None or training.history.newest().state == "finished":
        return
    from mamltui.commands import run_command

    if session.is_detached:
        print(f"The training goes on. Watch it with: mamltui attach {training.run.name}")
        return
    profile = str(training.run.path / "profile.toml")
    command = run_command(profile, session.options.common, resume=training.run.name)
    print(f"The training was stopped. Go on with it: {command}")
