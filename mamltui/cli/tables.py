"""Results on the terminal: tables without borders, and the comparison in words.

Names come from people: they are printed as ``rich.text.Text``, never as markup, with what does not
print written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from mamltui.results import (
    STATISTICS,
    Evaluation,
    Grid,
    GridRow,
    StepResult,
    compare_with_published,
    describe,
    grids,
    paired_lines,
    score_cell,
    spread_text,
)
from mamltui.text import visible

KINDS = {"transductive": "transductive", "support": "support statistics"}
HEADLINE_MARK = "*"


def results_console() -> Console:
    """The console for data on stdout; off a terminal no line is broken."""
    import sys

    return Console(
        soft_wrap=not sys.stdout.isatty(),
        highlight=False,
        markup=False,
        emoji=False,
        file=sys.stdout,
    )


def narration_console() -> Console:
    """The console for narration on stderr."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def can_stay_in_place(console: Console) -> bool:
    """Whether lines can be drawn again where they are."""
    return console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only


def print_evaluation(console: Console, evaluations: Sequence[Evaluation]) -> None:
    """Print one run's sweep, or the grids of several runs, and what was published beside them."""
    if len(evaluations) == 1:
        _print_sweep(console, evaluations[0])
    else:
        for statistics in STATISTICS:
            for grid in grids(evaluations, statistics):
                _print_grid(console, grid)
    say(
        console, f"{HEADLINE_MARK} the profile's own inner steps at test: the headline", style="dim"
    )
    for evaluation in evaluations:
        _print_comparison(console, evaluation, named=len(evaluations) > 1)
    if len(evaluations) > 1:
        console.print()
        say(console, f"Beside {evaluations[0].run}, pair by pair", style="bold")
        print_paired(console, evaluations, [evaluation.run for evaluation in evaluations])


def print_paired(console: Console, evaluations: Sequence[Evaluation], names: Sequence[str]) -> None:
    """Print how much better each evaluation is than the first, on the same episodes, or why not."""
    for statistics in evaluations[0].statistics:
        for name, text in paired_lines(evaluations, names, statistics):
            say(console, f"{name}, {evaluations[0].kind(statistics)}: {text}", indent=2)


def say(console: Console, text: str, *, style: str = "", indent: int = 0) -> None:
    """Print a line of words; a character that the terminal cannot show is written out."""
    encoding = console.encoding or "utf-8"
    if not _can_show("±", encoding):
        text = text.replace("±", "+/-")
    shown = visible(text).encode(encoding, "backslashreplace").decode(encoding)
    if indent and not console.soft_wrap:
        from rich.padding import Padding

        console.print(Padding(Text(shown, style=style), (0, 0, 0, indent)))
    else:
        console.print(Text(" " * indent + shown, style=style))


def aligned(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[int] = (),
    plus_minus: str = "±",
) -> list[str]:
    """Lines of a plain table, two spaces between columns; the columns ``right`` end together.

    Args:
        plus_minus: written for each ± in the rows.
    """
    cells = [
        list(header),
        *([visible(cell).replace("±", plus_minus) for cell in row] for row in rows),
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def print_table(console: Console, lines: Sequence[str], *, marked: Sequence[int] = ()) -> None:
    """Print the lines of ``aligned``: a dim header, rows ``marked`` (from 0) in bold."""
    for number, line in enumerate(lines, start=-1):
        style = "dim" if number < 0 else "bold" if number in marked else ""
        encoding = console.encoding or "utf-8"
        shown = line.encode(encoding, "backslashreplace").decode(encoding)
        console.print(Text(shown, style=style), no_wrap=True, overflow="ignore", crop=False)


def _can_show(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def plus_minus_of(console: Console) -> str:
    """What stands before an interval where the console shows it."""
    return "±" if _can_show("±", console.encoding or "utf-8") else "+/-"


def _print_sweep(console: Console, evaluation: Evaluation) -> None:
    say(console, evaluation.run, style="bold")
    say(console, describe(evaluation))
    console.print()
    plus_minus = plus_minus_of(console)
    headline = evaluation.steps.index(evaluation.test_steps)
    columns = [[f"{step}{_mark(step, evaluation.test_steps)}" for step in evaluation.steps]]
    header = ["steps "]
    for statistics in evaluation.statistics:
        results = evaluation.results(statistics)
        columns.append(_scores(results, plus_minus))
        header.append(f"{evaluation.kind(statistics)}{evaluation.metric.unit}")
        if not evaluation.metric.is_error:  # an error is the loss itself
            columns.append([f"{result.loss:.4f}" for result in results])
            header.append("loss")
    rows = zip(*columns, strict=True)
    print_table(console, aligned(header, rows, right=range(len(header))), marked=[headline])
    console.print()


def _print_grid(console: Console, grid: Grid) -> None:
    """Runs are columns, as many side by side as there is room for; a key names them."""
    kind = "" if grid.metric.is_error else f", {KINDS[grid.statistics]}"
    say(console, f"{grid.task}, {grid.split} split{kind}", style="bold")
    loss = "" if grid.metric.is_error else ", and loss"
    say(
        console,
        f"{grid.metric.title} with its 95% interval{loss}, after each number of inner steps",
    )
    console.print()
    letters = _letters(len(grid.rows))
    columns = [_grid_column(console, grid, row) for row in grid.rows]
    widths = [max(map(len, column)) for column in columns]
    room = max(console.width, 40)
    start = 0
    while start < len(columns):
        stop, used = start, len("steps ")
        while stop < len(columns) and (stop == start or used + 3 + widths[stop] <= room):
            used += 3 + widths[stop]
            stop += 1
        shown = range(start, stop)
        header = ["steps ", *(f" {letters[i]}: train {grid.rows[i].train_steps}" for i in shown)]
        rows = [
            [f"{step} ", *(f" {columns[i][index]}" for i in shown)]
            for index, step in enumerate(grid.steps)
        ]
        print_table(console, aligned(header, rows, right=range(len(header))))
        console.print()
        start = stop
    for letter, row in zip(letters, grid.rows, strict=True):
        steps = f"{row.train_steps} inner step{'' if row.train_steps == 1 else 's'} in training"
        say(console, f"{letter}  {row.label}, {steps}")
    console.print()


def _grid_column(console: Console, grid: Grid, row: GridRow) -> list[str]:
    scores = _scores(row.cells, plus_minus_of(console))
    return [
        f"{score}{_mark(step, row.headline)}{'' if grid.metric.is_error else f' {cell.loss:.4f}'}"
        if cell
        else "- "
        for step, cell, score in zip(grid.steps, row.cells, scores, strict=True)
    ]


def _scores(results: Sequence[StepResult | None], plus_minus: str) -> list[str]:
    """Scores with their intervals, both with the decimal points below each other."""
    parts = [
        score_cell(result, plus_minus).split(f" {plus_minus} ") if result else [""]
        for result in results
    ]
    width = max((len(part[1]) for part in parts if len(part) == 2), default=0)
    return [
        f"{part[0]} {plus_minus} {part[1]:>{width}}"
        if len(part) == 2
        else part[0] + " " * (width and width + len(plus_minus) + 2)
        for part in parts
    ]


def _mark(step: int, headline: int | None) -> str:
    return HEADLINE_MARK if step == headline else " "


def _letters(count: int) -> list[str]:
    """A, B, ..., Z, A2, B2, ..."""
    return [f"{chr(65 + i % 26)}{i // 26 + 1 if i >= 26 else ''}" for i in range(count)]


def _print_comparison(console: Console, evaluation: Evaluation, *, named: bool) -> None:
    comparisons = compare_with_published(evaluation)
    if named:
        console.print()
        say(console, evaluation.run, style="bold")
    steps = f"{evaluation.test_steps} inner step{'' if evaluation.test_steps == 1 else 's'}"
    for statistics in evaluation.statistics:
        headline = evaluation.headline(statistics)
        beside = [item for item in comparisons if item.statistics == statistics]
        end = ":" if beside else ""
        say(
            console,
            f"{score_cell(headline)}{evaluation.metric.unit} after {steps}, "
            f"{evaluation.kind(statistics)}{end}",
        )
        if spread := spread_text(evaluation, statistics):
            say(console, spread, style="dim", indent=2)
        for comparison in beside:
            say(console, f"{comparison.words} [{comparison.figure.cited}]", indent=2)
            if comparison.differences:
                say(console, "; ".join(comparison.differences), style="dim", indent=4)
    if not comparisons:
        say(console, f"There is no published figure for {evaluation.task}.")
