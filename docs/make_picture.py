"""Draws the picture of the README: the live display of a run, part of the way through it.

python docs/make_picture.py runs/RUN docs/headless.svg --until 0.6
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console

from mamltui.events import Event
from mamltui.headless import LiveDisplay
from mamltui.runs import RunFolder, find_run

WIDTH = 80


def events_until(run: RunFolder, share: float) -> list[Event]:
    """The run's events in order, up to a share of its iterations."""
    logged = [entry.event for entry in run.read_events().records]
    steps: list[Event] = list(run.read_metrics().records)
    # Sorting is stable: at an iteration its metrics come before its validation, as they did.
    events = sorted([*logged[:1], *steps, *logged[1:]], key=lambda event: event.iteration)
    last = share * run.profile.meta.iterations
    return [event for event in events if event.iteration <= last]


def picture(run: RunFolder, share: float) -> str:
    """The display as SVG."""
    task = run.profile.task
    title = f"{task.way}-way {task.shot}-shot on {run.profile.data.set}"
    terminal = Console(width=WIDTH, height=24, file=io.StringIO(), force_terminal=True)
    display = LiveDisplay(terminal, title)
    with display:
        for event in events_until(run, share):
            display.show(event)
    paper = Console(
        width=WIDTH, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor"
    )
    paper.print(display.frame())
    svg = paper.export_svg(title=f"mamltui run {run.profile.name} --headless")
    # A picture that loads fonts from elsewhere is shown without them, or not at all.
    return re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("svg", type=Path)
    parser.add_argument("--until", type=float, default=0.6, help="share of the iterations")
    arguments = parser.parse_args()
    arguments.svg.write_text(picture(find_run(arguments.run), arguments.until))


if __name__ == "__main__":
    main()
