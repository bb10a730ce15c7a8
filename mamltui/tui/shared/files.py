"""Files that are asked for in a dialog, and written when they are not there yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from mamltui.errors import MamltuiError
from mamltui.results import write_text
from mamltui.text import visible
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.dialogs import Ask
from mamltui.tui.shared.screen import AppScreen


def ask_and_write(
    screen: AppScreen,
    kind: str,
    question: str,
    name: str,
    text_for: Callable[[Path], str],
    *,
    endings: Collection[str] = (),
) -> None:
    """Ask where to write a text, and write it there in the background.

    Args:
        kind: what is written, at the head of what is told in the end.
        name: of a file; the time is added to what is offered.
        text_for: the text for a path, which it may take its format from.
        endings: those that the name may have; none: any.
    """

    def problem(answer: str) -> str:
        if endings and Path(answer).suffix not in endings:
            return f"a name that ends in {', '.join(endings)}"
        return path_problem(answer)

    def write(answer: str | None) -> None:
        if answer is None:
            return
        path = Path(answer).expanduser().absolute()
        in_background(
            screen.app,
            lambda: write_new(path, text_for(path)),
            lambda _: screen.notify(visible(str(path)), title=f"{kind} written", markup=False),
            lambda error: screen.host.report(f"{kind} not written", error),
        )

    offered = Path(name)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    screen.app.push_screen(Ask(question, f"{offered.stem}-{stamp}{offered.suffix}", problem), write)


def path_problem(text: str) -> str:
    """Why a file cannot be made there; empty if it can."""
    if not text.strip():
        return "a file name is needed"
    path = Path(text).expanduser()
    try:
        if path.is_symlink() or path.exists():
            return "that exists already, and nothing is overwritten"
        if not path.parent.is_dir():
            return "there is no such folder to write in"
    except (OSError, RuntimeError) as error:
        return f"that cannot be a file: {error}"
    return ""


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        MamltuiError: it is there, or cannot be written.
    """
    try:
        path.open("x").close()
    except OSError as error:
        raise MamltuiError(f"cannot be written: {error.strerror}", where=str(path)) from error
    try:
        write_text(path, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
