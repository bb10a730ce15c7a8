"""What the draw screen says: a heading, a card for each slot, the answers in words."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from textual.content import Content

from mamltui.text import visible
from mamltui.tui.draw.answering import Answer
from mamltui.tui.draw.cards import Card
from mamltui.tui.draw.drawings import Drawings, Slot
from mamltui.tui.shared.fitting import shortened_name

MUTED = "$text-muted"
_NOT_DRAWN = ("", "not", "drawn")


def heading(drawings: Drawings, slot: Slot, state: str, run: str, width: int) -> Content:
    """What is drawn, with which tool, and on the right for which run."""
    what = "the query"
    if not slot.is_query:
        each = drawings.classes[slot.label]
        what = f"class {visible(each.name)}"
        if len(each.drawings) > 1:
            what += f", drawing {slot.number + 1} of {len(each.drawings)}"
    left = Content.assemble((what, "bold $text"), f"   {state}")
    room = width - left.cell_length - 3
    if not run or room < 12:
        return left
    name = shortened_name(run, room)
    gap = width - left.cell_length - cell_len(name)
    return Content.assemble(left, " " * gap, (name, MUTED))


def cards(
    drawings: Drawings, slot: Slot, seen: Mapping[int, int], answer: Answer | None
) -> list[Card]:
    """One a class, and the query's.

    Args:
        slot: what is drawn on.
        seen: which drawing of a class is shown; the first where it is not there.
    """
    values = answer.probabilities if answer else {}
    likeliest = _likeliest(drawings, answer, -1)
    shown = []
    for label, each in enumerate(drawings.classes):
        number = min(seen.get(label, 0), len(each.drawings) - 1)
        title = visible(each.name)
        if len(each.drawings) > 1:
            title += f" {number + 1}/{len(each.drawings)}"
        shown.append(
            Card(
                title,
                each.drawings[number].ink.tobytes(),
                values.get(label, ()),
                () if each.inked else _NOT_DRAWN,
                is_current=slot.label == label,
                is_likeliest=label == likeliest,
            )
        )
    text = _NOT_DRAWN if drawings.query.is_blank else ()
    if likeliest is not None:
        text = ("", "is", visible(drawings.classes[likeliest].name))
    query = drawings.query.ink.tobytes()
    return [*shown, Card("query", query, text=text, is_current=slot.is_query)]


def answers(drawings: Drawings, answer: Answer | None, problem: str, width: int) -> Content:
    """The answer after each inner step, or what is to be done."""
    if problem:
        return Content.styled(visible(" ".join(problem.split())), "$error")
    if sum(bool(each.inked) for each in drawings.classes) < 2:
        return Content.styled("Draw at least two classes; Tab goes to the next.", MUTED)
    if drawings.query.is_blank:
        return Content.styled("q: draw the query, or Tab: more classes.", MUTED)
    if answer is None or not answer.probabilities:
        return Content.styled("adapting", MUTED)
    parts = []
    for step in range(answer.steps + 1):
        label = _likeliest(drawings, answer, step)
        if label is None:
            break
        share = 100 * answer.probabilities[label][step]
        name = visible(drawings.classes[label].name)
        parts.append(f"{'before' if step == 0 else step}: {name} {share:.0f} %")
    text = "   ".join(parts)
    if cell_len(text) > width and len(parts) > 1:
        text = f"{parts[0]}   ...   {parts[-1]}"
    room = width - cell_len(text) - cell_len(answer.statistics)
    end = " " * room + answer.statistics if room > 2 else ""
    return Content.assemble(text, (end, MUTED))


def _likeliest(drawings: Drawings, answer: Answer | None, step: int) -> int | None:
    """The class of the greatest probability after a step; None: there is no answer."""
    values = answer.probabilities if answer else {}
    known = {label: each for label, each in values.items() if label < len(drawings.classes)}
    return max(known, key=lambda label: known[label][step]) if known else None
